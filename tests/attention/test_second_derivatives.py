"""Second derivatives: right through every engine, whatever its own backward pass computes."""

import pytest
import torch
from attention_oracle import inputs
from torch.autograd import grad, gradgradcheck
from torch.autograd.functional import hessian
from torch.utils.checkpoint import checkpoint

import attentio as at

Q, K = 5, 6
MASKS = {
    "none": lambda: None,
    "causal": at.causal,
    "padding, one of it empty": lambda: at.padding(torch.tensor([4, 0])),
    "window": lambda: at.window(1, 1),
    "segments": lambda: at.segments(torch.tensor([[0, 0, 1, 1, 2]] * 2), torch.tensor([[0, 1, 1, 2, 2, 2]] * 2)),
}
ENGINES = [("short", True), ("short", False), ("blocks", True), ("blocks", False), ("sdpa", False)]
ENGINES += [("reference", True), ("reference", False), ("additive", True), ("additive", False)]


def double(q=Q, k=K):
    return inputs(q=q, k=k, dtype=torch.float64, grad=True)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("engine", "need_weights"), ENGINES)
def test_they_are_those_of_finite_differences(seed, engine, need_weights, mask):
    if engine == "blocks" and mask == "none":
        pytest.skip("blocks needs a mask")
    vector = torch.randn(11, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, 1, K, dtype=torch.float64, requires_grad=engine != "blocks")

    def attend(query, key, value, vector, bias):
        score = at.Additive(vector) if engine == "additive" else at.ScaledDot()
        how = {"mask": MASKS[mask](), "bias": bias, "need_weights": need_weights, "engine": engine}
        return tuple(t for t in at.attend(query, key, value, score=score, **how) if t is not None)

    assert gradgradcheck(attend, (*double(), vector, bias), fast_mode=True)


SCORES = {"scaled dot": lambda vector: at.ScaledDot(), "additive": at.Additive}
LARGE = {
    "short, at once": {},
    "blocks of its own": {"mask": at.window(2, 2)},
    "blocks by themselves": {"mask": at.window(2, 2), "need_weights": True},
    "fused": {"engine": "sdpa", "mask": at.causal()},
}


def mixed(attended):
    return sum(t.sin().square().sum() for t in attended if t is not None)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("case", LARGE)
def test_a_hessian_is_that_of_the_equation_where_one_tensor_is_all_three(seed, case, score):
    tensor, vector = torch.randn(1, 1, 70, 2), torch.randn(2)
    how = {"score": SCORES[score](vector), **LARGE[case]}
    if score == "additive":
        how.pop("engine", None)
    plain = {**how, "engine": "reference"}
    expected = hessian(lambda t: mixed(at.attend(t, t, t, **plain)), tensor)
    assert expected.any()
    # In float32, whose rounding adds up over 70 keys: a derivative left out is off by far more.
    found = hessian(lambda t: mixed(at.attend(t, t, t, **how)), tensor)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", LARGE)
def test_a_gradient_penalty_reaches_what_the_gradient_was_taken_of(seed, case):
    query, key, value = (torch.randn(2, 3, 70, 8) for _ in range(3))

    def penalty(**how):
        scale = torch.ones(8, requires_grad=True)
        scaled = query * scale
        (slope,) = grad(mixed(at.attend(scaled, key * scale, value, **how)), scaled, create_graph=True)
        return grad(slope.square().sum(), scale)[0]

    how = LARGE[case]
    expected = penalty(**{**how, "engine": "reference"})
    torch.testing.assert_close(penalty(**how), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("engine", ["short", "sdpa", "additive"])
def test_a_third_derivative_is_right_too(seed, engine):
    score = at.Additive(torch.randn(11).double()) if engine == "additive" else at.ScaledDot()
    query, key, value = double(3, 4)

    def third(engine):
        found = mixed(at.attend(query, key, value, score=score, mask=at.causal(), engine=engine))
        for _ in range(3):
            (of_query,) = grad(found, query, create_graph=True)
            found = of_query.sin().sum()
        return of_query

    torch.testing.assert_close(third(engine), third("reference"))


@pytest.mark.parametrize("engine", ["short", "sdpa"])
def test_mixed_precision_has_them(seed, engine):
    query, key, value = (t.detach().float().requires_grad_() for t in double())

    def second(engine):
        with torch.autocast("cpu", torch.bfloat16):
            found = at.attend(query, key, value, engine=engine).context.float()
        (of_query,) = grad(found.sin().sum(), query, create_graph=True)
        return grad(of_query.square().sum(), query)[0]

    torch.testing.assert_close(second(engine), second("reference"), rtol=0.1, atol=0.1)


def test_the_fused_kernel_can_be_differentiated_as_often_as_its_graph_is_kept(seed):
    query, key, value = double()
    loss = mixed(at.attend(query, key, value, engine="sdpa"))
    (first,) = grad(loss, query, retain_graph=True)
    (again,) = grad(loss, query)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="second time"):
        grad(loss, query)


CALLS = {
    "short": {},
    "additive": {"score": at.Additive(torch.randn(4))},
    "sdpa": {"mask": at.padding([60])},
    "reference": {"normalize": at.Entmax(1.3)},
}


@pytest.mark.parametrize("engine", CALLS)
@pytest.mark.parametrize("derivative", ["jacobian", "hessian"])
def test_many_gradients_at_once_are_those_one_by_one(seed, derivative, engine):
    x, weights = torch.randn(1, 66, 4), torch.randn(66, 4)

    def f(scale):
        y = x * scale
        context = at.attend(y, y, y, **CALLS[engine], engine=engine).context
        return (context * weights).sum() if derivative == "hessian" else context.sum(-1)

    derive = getattr(torch.autograd.functional, derivative)
    at_once, one_by_one = (derive(f, torch.ones(4), vectorize=vectorize) for vectorize in (True, False))
    torch.testing.assert_close(at_once, one_by_one, rtol=1e-4, atol=1e-5)


def test_blocks_say_that_they_take_one_gradient_at_a_time():
    def f(x):
        return at.attend(x, x, x, mask=at.window(2, 2), engine="blocks").context.sum(-1)

    with pytest.raises(ValueError, match=r"one gradient at a time; write vectorize=False, or attend\("):
        torch.autograd.functional.jacobian(f, torch.randn(1, 66, 4), vectorize=True)


def test_where_torch_gives_what_it_saved_only_once_the_remedy_is_told(seed):
    x = torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True)
    run = lambda engine: checkpoint(  # noqa: E731
        lambda x: at.attend(x, x, x, engine=engine).context, x, use_reentrant=False
    )
    with pytest.raises(RuntimeError, match=r'no second derivative inside checkpoint.* give attend engine="reference"'):
        grad(run("sdpa").square().sum(), x, create_graph=True)
    (first,) = grad(run("reference").square().sum(), x, create_graph=True)
    assert grad(first.square().sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("q", [1, 4, 7])
def test_what_is_masked_reaches_no_gradient_of_a_recorded_backward_pass(seed, q):
    """Few queries and many: NaN in keys and values that nobody may see, through the additive engine."""
    tensors = [torch.randn(2, q, 11), torch.randn(2, 70, 11), torch.randn(2, 70, 5), torch.randn(11)]
    mask = at.padding(torch.tensor([70, 40]))
    found = []
    for hidden in (0.0, float("nan"), float("inf")):
        query, key, value, vector = (tensor.clone() for tensor in tensors)
        key[1, 40:], value[1, 40:] = hidden, hidden
        leaves = [tensor.requires_grad_() for tensor in (query, key, value, vector)]
        context = at.attend(*leaves[:3], score=at.Additive(vector), mask=mask, engine="additive").context
        first = grad(context.square().sum(), leaves, create_graph=True)
        found.append([*first, *grad(sum(one.square().sum() for one in first), leaves)])
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])
