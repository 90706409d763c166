"""Every engine computes the equation: against loops by hand, and against numerical derivatives."""

import itertools

import pytest
import torch
from attention_oracle import additive, attend_by_hand, dot, engines_for, inputs, location, scaled_dot
from hypothesis import given, settings
from hypothesis import strategies as st

import attentio as at


@st.composite
def mask_and_rule(draw, batch, heads, q, k, depth=2):
    """A mask, and the same said as a rule about one query and one key."""
    shift = k - q
    seen = st.integers(0, 3)
    kind = draw(
        st.sampled_from(
            ["causal", "start", "padding", "window", "segments", "keep"] + ["and", "or", "not"] * (depth > 0)
        )
    )
    if kind == "causal":
        return at.causal(), lambda b, h, i, j: j <= i + shift
    if kind == "start":
        return at.causal(align="start"), lambda b, h, i, j: j <= i
    if kind == "padding":
        lengths = draw(st.lists(st.integers(0, k), min_size=batch, max_size=batch))
        return at.padding(torch.tensor(lengths)), lambda b, h, i, j: j < lengths[b]
    if kind == "window":
        before, after = draw(seen), draw(seen)
        return at.window(before, after), lambda b, h, i, j: i + shift - before <= j <= i + shift + after
    if kind == "segments":
        left, right = torch.randint(2, (batch, q)), torch.randint(2, (batch, k))
        return at.segments(left, right), lambda b, h, i, j: bool(left[b, i] == right[b, j])
    if kind == "keep":
        table = torch.rand(batch, heads, q, k) < 0.6
        if draw(st.booleans()):
            return at.keep(table[:, 0]), lambda b, h, i, j: bool(table[b, 0, i, j])
        return at.keep(table if heads > 1 else table[:, 0]), lambda b, h, i, j: bool(table[b, h, i, j])
    mask, rule = draw(mask_and_rule(batch, heads, q, k, depth - 1))
    if kind == "not":
        return ~mask, lambda b, h, i, j: not rule(b, h, i, j)
    other, other_rule = draw(mask_and_rule(batch, heads, q, k, depth - 1))
    if kind == "and":
        return mask & other, lambda *at_: rule(*at_) and other_rule(*at_)
    return mask | other, lambda *at_: rule(*at_) or other_rule(*at_)


@st.composite
def calls(draw):
    """Arguments for attend, and for the same by hand."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    batch, heads = draw(st.integers(1, 3)), draw(st.sampled_from([None, 2, 3]))
    q, k, d, dv = (draw(st.integers(1, n)) for n in (5, 6, 4, 4))
    lead = (batch,) if heads is None else (batch, heads)
    query, key = (torch.randn(*lead, n, d, dtype=torch.float64) for n in (q, k))
    value = torch.randn(*lead, k, dv, dtype=torch.float64)
    vector = torch.randn(d, dtype=torch.float64)
    score, compare = draw(
        st.sampled_from(
            [
                (at.Dot(), dot),
                (at.ScaledDot(), scaled_dot),
                (at.ScaledDot(scale=0.3), lambda a, b, j: 0.3 * dot(a, b, j)),
                (at.Additive(vector), additive(vector)),
                (at.Location(), location),
            ]
        )
    )
    if isinstance(score, at.Location):
        query = torch.randn(*lead, q, k + draw(st.integers(0, 2)), dtype=torch.float64)
    mask, may = draw(st.none() | mask_and_rule(batch, heads or 1, q, k)) or (None, lambda *at_: True)
    bias = draw(st.sampled_from([None, (q, k), (*lead, q, k), (1,) * (len(lead) - 1) + (1, k)]))
    bias = None if bias is None else torch.randn(bias, dtype=torch.float64)
    return (query, key, value), {"score": score, "mask": mask, "bias": bias}, {"compare": compare, "may": may}


@settings(max_examples=100)
@given(calls())
def test_every_engine_equals_the_equation_by_hand(call):
    tensors, arguments, by_hand = call
    context, weights = attend_by_hand(*tensors, **by_hand, bias=arguments["bias"])
    for need_weights in (False, True):
        for engine in [None, *engines_for(*tensors, **arguments, need_weights=need_weights)]:
            out = at.attend(*tensors, **arguments, need_weights=need_weights, engine=engine)
            torch.testing.assert_close(out.context, context, msg=lambda m, e=engine: f"{e}: {m}")
            if need_weights:
                torch.testing.assert_close(out.weights, weights)


SCORES = {
    "dot": lambda vector: at.Dot(),
    "scaled": lambda vector: at.ScaledDot(),
    "additive": at.Additive,
    "location": lambda vector: at.Location(),
}


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("mask", [None, at.causal(), at.window(1, 0) & at.padding(torch.tensor([3, 1]))])
def test_gradients_equal_numerical_derivatives(seed, score, heads, mask):
    tensors = inputs(heads=heads, q=2, k=3, d=5, dv=1, dtype=torch.float64, grad=True)
    vector = torch.randn(5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    for engine in engines_for(*tensors, score=SCORES[score](vector), mask=mask, bias=bias):

        def context(query, key, value, vector, bias, engine=engine):
            return at.attend(
                query, key, value, score=SCORES[score](vector), mask=mask, bias=bias, engine=engine
            ).context

        assert torch.autograd.gradcheck(context, (*tensors, vector, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("heads", [None, 3])
def test_each_dtype_is_kept_and_as_exact_as_it_can_be(seed, dtype, heads):
    tensors = inputs(heads=heads, dtype=dtype)
    lengths = torch.tensor([7, 4])
    expected, _ = attend_by_hand(*tensors, may=lambda b, h, i, j: j < lengths[b])
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float64: 1e-12}[dtype]
    for engine in engines_for(*tensors, mask=at.padding(lengths)):
        context = at.attend(*tensors, mask=at.padding(lengths), engine=engine).context
        assert context.dtype == dtype
        torch.testing.assert_close(context.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("length", [40, 150])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_gradients_of_16_bits_are_rounded_once_on_a_cpu(seed, length, dtype):
    """Also those of 32 bits under autocast, which are not rounded at all; for few and for many scores."""
    tensors = [torch.randn(2, 3, length, 8).to(dtype).requires_grad_() for _ in range(3)]
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    upstream = torch.randn(2, 3, length, 8).to(dtype)
    for each in (tensors, exact):
        with torch.autocast("cpu", torch.bfloat16):
            context = at.attend(*each, mask=at.causal()).context
        assert context.dtype == each[0].dtype
        context.backward(upstream.to(context.dtype))
    bound = 2**-8 if dtype == torch.bfloat16 else 1e-5
    for mine, theirs in zip(tensors, exact, strict=True):
        torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=bound, atol=1e-5)


@pytest.mark.parametrize("score", [at.Additive(torch.linspace(-1, 1, 64)), at.Location()], ids=["additive", "location"])
def test_under_autocast_few_queries_are_as_exact_as_many(seed, score):
    query, key, value = torch.randn(1, 50, 64), torch.randn(1, 30, 64), torch.randn(1, 30, 4)
    expected = at.attend(query.double(), key.double(), value.double(), score=score).context
    with torch.autocast("cpu", torch.bfloat16):
        together = at.attend(query, key, value, score=score).context
        each = [at.attend(query[:, i : i + 1], key, value, score=score).context for i in range(50)]
    for found in (together, torch.cat(each, 1)):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalize", [at.Entmax(), lambda scores: scores.softmax(-1)], ids=["entmax", "a function"])
def test_with_another_normalization_scores_are_as_exact_as_with_softmax(seed, normalize):
    """Of 32 bits under autocast, and of 16 bits that are large."""
    tensors = [torch.randn(2, 3, 40, 8) for _ in range(3)]
    expected = at.attend(*(tensor.double() for tensor in tensors), normalize=normalize).context
    with torch.autocast("cpu", torch.bfloat16):
        context = at.attend(*tensors, normalize=normalize).context
    torch.testing.assert_close(context.double(), expected, rtol=1e-4, atol=1e-4)
    halves = [8 * tensors[0].bfloat16(), tensors[1].bfloat16(), tensors[2].bfloat16()]
    expected = at.attend(*(half.double() for half in halves), normalize=normalize, score=at.Dot()).context
    context = at.attend(*halves, normalize=normalize, score=at.Dot()).context
    torch.testing.assert_close(context.double(), expected, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("normalize", [None, at.Sparsemax()])
@pytest.mark.parametrize("mask", [None, at.padding(torch.tensor([4, 0]))])
def test_under_autocast_the_result_has_the_dtype_of_the_query(seed, dtype, normalize, mask):
    """Whether it is trained or not, with weights or without, on every engine."""
    for trained, need_weights in itertools.product((True, False), repeat=2):
        tensors = [torch.randn(2, 3, 4, 8).to(dtype).requires_grad_(trained) for _ in range(3)]
        how = {"normalize": normalize, "mask": mask, "need_weights": need_weights}
        for engine in (None, *engines_for(*tensors, **how)):
            with torch.autocast("cpu", torch.bfloat16):
                context, weights = at.attend(*tensors, **how, engine=engine)
            assert context.dtype == dtype
            assert weights is None or weights.dtype == dtype


def test_a_softmax_of_bfloat16_is_computed_in_float32(seed):
    scores = torch.randn(2, 3, 1009).bfloat16()
    weights = at.attend(
        scores, torch.zeros(2, 1009, 1).bfloat16(), torch.zeros(2, 1009, 1).bfloat16(),
        score=at.Location(), need_weights=True,
    ).weights  # fmt: skip
    # To within one rounding: a sum of a thousand weights in bfloat16 would be far off.
    torch.testing.assert_close(weights.float(), torch.softmax(scores.float(), -1), rtol=2**-8, atol=0)


def test_any_function_of_query_and_key_is_a_score(seed):
    query, key, value = inputs()
    distance = lambda query, key: -torch.cdist(query, key)  # noqa: E731
    out = at.attend(query, key, value, score=distance, need_weights=True)
    by_hand = lambda a, b, j: -(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)  # noqa: E731
    context, weights = attend_by_hand(query, key, value, compare=by_hand)
    torch.testing.assert_close(out.weights.double(), weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.context.double(), context, rtol=1e-4, atol=1e-5)


def test_a_function_of_tensors_without_heads_is_given_them_without_heads(seed):
    query, key, value = inputs(heads=None)
    product = lambda query, key: torch.einsum("bqd, bkd -> bqk", query, key)  # noqa: E731
    found = at.attend(query, key, value, score=product, mask=at.causal(), need_weights=True)
    expected = at.attend(query, key, value, score=at.Dot(), mask=at.causal(), need_weights=True)
    torch.testing.assert_close(tuple(found), tuple(expected))

    class Model(torch.nn.Module):
        def forward(self, query, key, value):
            return at.attend(query, key, value, score=product, mask=at.causal()).context

    with at.capture(model := Model()) as seen:
        model(query, key, value)
    torch.testing.assert_close(seen[0].weights.float(), expected.weights.unsqueeze(1), rtol=1e-3, atol=1e-3)


def test_no_keys_at_all_give_context_zero(seed):
    tensors = inputs(k=0)
    for mask in (None, at.causal(), at.padding(torch.tensor([0, 0]))):
        out = at.attend(*tensors, mask=mask, need_weights=True)
        assert out.weights.shape == (2, 3, 5, 0)
        assert torch.equal(out.context, torch.zeros(2, 3, 5, 13))
        assert torch.equal(at.attend(*tensors, mask=mask).context, out.context)
