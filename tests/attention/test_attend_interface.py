"""What attend says about its choice and about a caller's mistakes, and what importing the package costs."""

import pkgutil
import subprocess
import sys

import pytest
import torch
from attention_oracle import engines_for, inputs

import attentio as at


def test_explain_names_the_engine_and_why_not_the_others():
    explanation = at.explain(*inputs(), score=at.Location(), need_weights=True)
    assert explanation.engine == "reference"
    assert "Location" in explanation.others["sdpa"]
    assert str(explanation).startswith("reference: ")
    assert "\n  not sdpa: " in str(explanation)


def test_explain_says_why_an_engine_that_could_is_not_the_fastest():
    short, long = (at.explain(*inputs(q=n, k=n)) for n in (13, 1009))
    assert short.engine == "short"
    assert "it could" in short.others["sdpa"]
    assert long.engine == "sdpa"
    assert "would leave the cache" in long.others["short"]


def test_an_engine_asked_for_by_name_is_the_one_that_runs():
    explanation = at.explain(*inputs(), engine="reference")
    assert explanation.engine == "reference"
    assert "asked for" in explanation.reason


BOOL = torch.ones(5, 7, dtype=torch.bool)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": BOOL}, r"mask must say.*bare Tensor; write at\.keep\(t\).*True = may attend"),
        ({"mask": BOOL.float()}, r"bare Tensor.*bias=t for numbers"),
        ({"mask": at.keep(BOOL[:, :5])}, r"5 queries and 7 keys in its last two axes, got \[5, 5\]"),
        ({"mask": at.padding(torch.tensor([7, 4, 3]))}, r"mask must broadcast.*\[2, 3, 5, 7\], got one for 3 seq"),
        ({"mask": at.keep(BOOL.expand(1, 2, 5, 7))}, r"mask must broadcast.*\[2, 3, 5, 7\], got one for 2 heads"),
        ({"bias": BOOL}, r"bias is added to the scores.*torch\.bool; write mask=at\.keep"),
        ({"bias": torch.zeros(7, 5)}, r"bias must broadcast.*got \[7, 5\]"),
        ({"bias": 1.0}, "bias must be a torch.Tensor, got float"),
        ({"dropout": 1.0}, "dropout must be a probability.*got 1.0"),
        ({"dropout": None}, "dropout must be a probability.*got None"),
        ({"engine": "magic"}, "engine must be one of .*sdpa, .*reference, got 'magic'"),
        ({"engine": "sdpa", "need_weights": True}, 'engine="sdpa" cannot do this call: .*need_weights'),
        ({"score": at.Dot}, r"score must be an instance, got the class; write Dot\("),
        ({"score": at.Additive(torch.ones(13))}, r"vector must have one weight.*11 features, got \[13\]"),
        ({"score": at.Location(), "key": torch.zeros(2, 3, 17, 11), "value": torch.zeros(2, 3, 17, 1)},
         r"query must hold a score for each of the 17 keys.*\[2, 3, 5, 11\]"),
        ({"score": "dot"}, r"score must be at\.Dot\(\), .*or a function, got 'dot'"),
        ({name: torch.zeros(n, 11) for name, n in (("query", 5), ("key", 7), ("value", 7))},
         r"query must have an axis of sequences, \[batch, q, d\], got \[5, 11\]; for one sequence give query\[None\]"),
        ({"query": torch.zeros(11)}, r"query must be floating point of 16 bits at least, \[batch, q, d\].*\[11\]"),
        ({"query": torch.zeros(2, 3, 5, 11).to(torch.float8_e4m3fn)}, r"query must be floating point of 16 bits"),
        ({"bias": torch.zeros(5, 7, device="meta")}, r"bias must be on the device of query \(cpu\), got meta"),
        ({"score": at.Additive(torch.ones(11, device="meta"))}, r"vector must be on the device of the keys \(cpu\)"),
        ({"dropout": "a"}, "dropout must be a probability.*got a"),
        ({"query": torch.zeros(2, 3, 5, 11, dtype=torch.long)}, r"query must be floating point.*int64"),
        ({"key": torch.zeros(2, 3, 7, 11).double()}, "key must have the dtype.*float32.*got torch.float64"),
        ({"key": torch.zeros(2, 2, 7, 11)}, r"key must have the batch.*\[2, 3, 5, 11\].*got \[2, 2, 7, 11\]"),
        ({"value": torch.zeros(2, 6, 7, 11)}, r"value must have the batch.*a divisor of them, got \[2, 6, 7, 11\]"),
        ({"key": torch.zeros(2, 3, 7, 10)}, r"same number of features.*\[2, 3, 5, 11\].*\[2, 3, 7, 10\]"),
        ({"value": torch.zeros(2, 3, 5, 13)}, r"value must have one row.*7 keys, got \[2, 3, 5, 13\]"),
    ],
)  # fmt: skip
def test_a_caller_s_mistake_is_named(as_installed, arguments, message):
    query, key, value = inputs()
    with pytest.raises(ValueError, match=message):
        at.attend(**({"query": query, "key": key, "value": value} | arguments))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused_in_one_sentence(as_installed, layout):
    nested = torch.nested.nested_tensor([torch.randn(n, 11) for n in (5, 7)], layout=layout)
    with pytest.raises(ValueError, match=r"no nested tensors; pad them, and give mask=at\.padding\(lengths\)"):
        at.attend(nested, nested, nested)


@pytest.mark.parametrize("score", [at.ScaledDot(), at.Additive(torch.randn(11))], ids=["dot", "additive"])
@pytest.mark.parametrize(("key_heads", "value_heads"), [(2, 2), (1, 1), (3, 6), (1, 2)])
def test_query_heads_share_the_keys_of_their_group(seed, score, key_heads, value_heads):
    query, key, value = (torch.randn(2, heads, n, 11) for heads, n in ((6, 5), (key_heads, 7), (value_heads, 7)))
    mask, keywords = at.keep(torch.rand(2, 6, 5, 7) > 0.3), {"score": score, "need_weights": True}
    repeated = (tensor.repeat_interleave(6 // tensor.shape[1], dim=1) for tensor in (key, value))
    expected = at.attend(query, *repeated, mask=mask, **keywords)
    got = at.attend(query, key, value, mask=mask, **keywords)
    assert got.weights.shape == (2, 6, 5, 7)
    torch.testing.assert_close(got, expected)
    assert at.explain(query, key, value, mask=mask, **keywords).engine


def test_importing_the_package_waits_for_torch_only_when_a_name_is_used():
    code = (
        "import sys, attentio as at; assert 'torch' not in sys.modules;"
        "missing = [name for name in at.__all__ if getattr(at, name, None) is None or name not in dir(at)];"
        "assert not missing, missing; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_attending_does_not_wait_for_torchs_compiler():
    code = (
        "import sys, torch, attentio as at; at.attend(*torch.randn(3, 2, 4, 8));"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'atend'"):
        at.atend  # noqa: B018


@pytest.mark.parametrize(("given", "returned"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float64)])
def test_a_score_may_be_computed_in_more_bits_than_the_query_has(seed, given, returned):
    tensors = [t.to(given) for t in inputs(q=5, k=7)]
    context = at.attend(*tensors, score=lambda query, key: query.to(returned) @ key.to(returned).mT).context
    expected = at.attend(*(t.double() for t in tensors), score=at.Dot()).context
    assert context.dtype == given
    torch.testing.assert_close(context.double(), expected, rtol=2**-8 if given == torch.bfloat16 else 1e-5, atol=1e-5)


def test_no_folder_of_the_package_hides_a_public_name():
    """Importing attentio.NAME.anything would put the folder in the place of at.NAME."""
    modules = {module.name for module in pkgutil.iter_modules(at.__path__)}
    assert not modules & set(at.__all__)


@pytest.mark.parametrize("heads", [(), (3,)], ids=["one head", "heads"])
def test_a_score_that_would_broadcast_to_other_queries_is_refused(seed, heads):
    query, key = torch.randn(2, *heads, 4, 5), torch.randn(2, *heads, 6, 5)
    at.attend(query, key, key, score=lambda q, k: q @ k.transpose(-1, -2))
    for wrong in (lambda q, k: (q @ k.transpose(-1, -2))[..., :1], lambda q, k: k @ q.transpose(-1, -2)):
        with pytest.raises(ValueError, match=r"score must return a number for each query and key, .* 4, 6\], got \["):
            at.attend(query, key, key, score=wrong)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("mask", [None, at.causal()])
def test_no_queries_get_no_context(need_weights, mask):
    query, key = torch.randn(2, 3, 0, 16), torch.randn(2, 3, 5, 16)
    got = at.attend(query, key, key, mask=mask, need_weights=need_weights)
    assert got.context.shape == (2, 3, 0, 16)
    assert not need_weights or got.weights.shape == (2, 3, 0, 5)


@pytest.mark.parametrize("mask", [None, at.causal(), at.window(2, 2), at.padding(torch.zeros(0, dtype=torch.long))])
@pytest.mark.parametrize("score", [at.ScaledDot(), at.Additive(torch.ones(4))], ids=["dot", "additive"])
def test_an_empty_batch_stays_empty(mask, score):
    tensor = torch.randn(0, 64, 4)
    for engine in [*engines_for(tensor, tensor, tensor, mask=mask, score=score), None]:
        got = at.attend(tensor, tensor, tensor, mask=mask, score=score, engine=engine)
        assert got.context.shape == (0, 64, 4)


def test_values_without_features_have_weights():
    query, value = torch.randn(1, 3, 4), torch.randn(1, 3, 0)
    got = at.attend(query, query, value, need_weights=True)
    assert got.context.shape == (1, 3, 0)
    torch.testing.assert_close(got.weights, (query @ query.mT / 2).softmax(-1))


def test_what_has_no_features_is_told():
    tensor = torch.randn(2, 3, 0)
    with pytest.raises(ValueError, match=r"^query must have features to compare, got \[2, 3, 0\]$"):
        at.attend(tensor, tensor, tensor)


def test_what_is_no_tensor_is_told_by_its_name():
    """In a process of its own: here the types of arguments are checked before."""
    code = "import torch, attentio as at; q = torch.randn(2, 3, 4); at.attend(q, q.numpy(), q)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("ValueError: key must be a torch.Tensor, got ndarray\n")


def test_a_length_below_zero_is_refused():
    with pytest.raises(ValueError, match="lengths must be at least 0, got -1"):
        at.padding([3, -1])


@pytest.mark.parametrize("vector", [[1.0, 2.0], torch.ones(1, 4)], ids=["list", "two axes"])
def test_a_vector_that_is_none_is_told(as_installed, vector):
    with pytest.raises(ValueError, match="vector must be a tensor with one weight for each feature, got"):
        at.Additive(vector)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_a_scale_may_be_learned(seed: int, shape: tuple[int, ...], need_weights: bool) -> None:
    query, key, value = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 11, 7), torch.randn(2, 3, 11, 13)
    scale = torch.full(shape, 0.3, requires_grad=True)
    out = at.attend(query, key, value, score=at.ScaledDot(scale), need_weights=need_weights)
    plain = at.attend(query, key, value, score=at.ScaledDot(0.3), need_weights=need_weights)
    torch.testing.assert_close(out.context, plain.context)
    torch.testing.assert_close(at.ScaledDot(scale)(query, key), at.ScaledDot(0.3)(query, key))
    (found,) = torch.autograd.grad(out.context.square().sum(), scale)
    by_hand = ((query @ key.mT * scale.reshape(())).softmax(-1) @ value).square().sum()
    torch.testing.assert_close(found, torch.autograd.grad(by_hand, scale)[0], rtol=1e-3, atol=1e-4)
    half = at.attend(*(x.bfloat16() for x in (query, key, value)), score=at.ScaledDot(scale))
    assert half.context.dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"scale must be a number, or a tensor of one; got \[3\]"):
        at.ScaledDot(torch.ones(3))
