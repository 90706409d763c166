"""Sparsemax and entmax: against the equation by hand, numerical derivatives, and the promises of masks."""

import math

import pytest
import torch
from attention_oracle import additive, attend_by_hand, entmax, inputs, scaled_dot
from torch.autograd import gradcheck, gradgradcheck

import attentio as at
from attentio.attention.entmax_loops import in_loops

ALPHAS = {"sparsemax": (at.Sparsemax(), 2.0), "1.5": (at.Entmax(), 1.5)}
ALPHAS |= {f"{alpha}": (at.Entmax(alpha), alpha) for alpha in (1.05, 1.8)}


@pytest.mark.parametrize(("name", "score"), [*((name, "scaled dot") for name in ALPHAS), ("1.5", "additive")])
def test_attention_equals_the_equation_by_hand(seed, name, score):
    normalize, alpha = ALPHAS[name]
    query, key, value = inputs(dtype=torch.float64)
    vector, bias, lengths = torch.randn(11).double(), torch.randn(3, 5, 7).double(), torch.tensor([4, 0])
    how, compare = (at.Additive(vector), additive(vector)) if score == "additive" else (at.ScaledDot(), scaled_dot)
    mask, may = at.causal() & at.padding(lengths), lambda b, h, i, j: j <= i + 2 and j < lengths[b]
    found = at.attend(
        query, key, value, score=how, mask=mask, bias=bias, normalize=normalize, need_weights=True
    )  # fmt: skip
    context, weights = attend_by_hand(query, key, value, compare=compare, may=may, bias=bias, weigh=entmax(alpha))
    torch.testing.assert_close(found.weights, weights, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.context, context, rtol=1e-9, atol=1e-12)
    assert torch.equal(found.weights == 0, weights == 0)


@pytest.mark.parametrize("name", ALPHAS)
def test_first_and_second_derivatives_are_those_of_finite_differences(seed, name):
    normalize, _ = ALPHAS[name]
    scores = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(normalize, scores, eps=1e-7, atol=1e-4)
    tensors = inputs(heads=None, q=2, k=5, d=3, dv=2, dtype=torch.float64, grad=True)
    mask = at.padding(torch.tensor([4, 0]))
    assert gradgradcheck(lambda *t: at.attend(*t, mask=mask, normalize=normalize).context, tensors, fast_mode=True)


@pytest.mark.parametrize("name", ["sparsemax", "1.5", "1.8"])
def test_forbidden_keys_and_empty_rows_get_no_weight_and_no_gradient(seed, name):
    query, key, value = inputs(grad=True)
    with torch.no_grad():
        key[0, :, 3:], value[0, :, 3:] = float("nan"), float("inf")
    found = at.attend(
        query, key, value, mask=at.padding(torch.tensor([3, 0])), normalize=ALPHAS[name][0], need_weights=True
    )  # fmt: skip
    for nothing in (found.weights[0, :, :, 3:], found.weights[1], found.context[1]):
        assert not nothing.any()
    torch.testing.assert_close(found.weights[0].sum(-1), torch.ones(3, 5))
    found.context.square().sum().backward()
    for tensor in (query, key, value):
        assert tensor.grad.isfinite().all()
        assert not tensor.grad[1].any()
    assert query.grad[0].any()
    assert not key.grad[0, :, 3:].any()


@pytest.mark.parametrize("name", ["sparsemax", "1.5", "1.8"])
def test_equal_and_far_scores_are_weighed_as_they_should_be(name):
    normalize, _ = ALPHAS[name]
    even = torch.tensor([3.0, 3.0, 3.0, 3.0])
    torch.testing.assert_close(normalize(even), torch.full((4,), 0.25))
    far = torch.tensor([[1e4, -1e4, 0.0], [-5e8, -5e8, -1e9]])
    torch.testing.assert_close(normalize(far), torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0]]))
    assert normalize(torch.tensor([float("nan"), 1.0])).isnan().all()
    many = torch.zeros(100_003)
    torch.testing.assert_close(normalize(many).sum(), torch.tensor(1.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", ALPHAS)
def test_the_compiled_loops_make_the_weights_and_gradients_of_plain_torch(seed, name):
    normalize, _ = ALPHAS[name]
    scores = (3 * torch.randn(2, 3, 37)).masked_fill(torch.rand(2, 3, 37) < 0.2, -torch.inf).requires_grad_()
    assert in_loops(scores)
    exact = scores.detach().double().requires_grad_()
    upstream, other = torch.randn(2, 3, 37), torch.randn(2, 3, 37)
    found, expected = normalize(scores), normalize(exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    for weights, given, up, direction in (
        (found, scores, upstream, other),
        (expected, exact, upstream.double(), other.double()),
    ):
        (first,) = torch.autograd.grad((weights * up).sum(), given, create_graph=True)
        (second,) = torch.autograd.grad((first * direction.where(given.detach().isfinite(), 0.0)).sum(), given)
        given.found = first.detach().double(), second.double()
    torch.testing.assert_close(scores.found[0], exact.found[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scores.found[1], exact.found[1], rtol=1e-2, atol=1e-2)
    (plain,) = torch.autograd.grad((normalize(scores) * upstream).sum(), scores)
    torch.testing.assert_close(plain.double(), exact.found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["sparsemax", "1.5", "1.8"])
def test_strange_scores_stay_in_their_rows(name):
    nan, inf = float("nan"), float("inf")
    scores = torch.tensor([[nan, 1.0, -inf], [inf, 1.0, 0.0], [-inf, -inf, -inf], [2.0, -inf, -inf]])
    weights = ALPHAS[name][0](scores)
    assert weights[0, :2].isnan().all()
    assert weights[1].isnan().all()
    assert weights[0, 2] == 0
    assert weights[2:].tolist() == [[0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ALPHAS)
def test_a_row_that_allows_nothing_has_no_weight_by_itself_either(name, dtype):
    scores = torch.tensor([[-math.inf] * 3, [0.0, 0.0, -math.inf]], dtype=dtype)
    normalize, _ = ALPHAS[name]
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=dtype)
    torch.testing.assert_close(normalize(scores), expected)
    assert normalize(scores[:, :0]).shape == (2, 0)


def test_half_precision_is_summed_in_float32(seed):
    tensors = [t.bfloat16() for t in inputs()]
    low = at.attend(*tensors, normalize=at.Entmax(), need_weights=True)
    exact = at.attend(*(t.float() for t in tensors), normalize=at.Entmax(), need_weights=True)
    assert low.weights.dtype == torch.bfloat16
    torch.testing.assert_close(low.weights.float(), exact.weights, rtol=0, atol=0.03)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_transforms_reach_the_same_numbers(seed):
    scores = torch.randn(5, 7, dtype=torch.float64)
    normalize = at.Entmax(1.5)
    torch.testing.assert_close(torch.func.vmap(normalize)(scores), normalize(scores))
    forward = torch.func.jacfwd(normalize)(scores[0])
    torch.testing.assert_close(forward, torch.func.jacrev(normalize)(scores[0]))


def test_any_function_of_the_scores_is_a_normalization(seed):
    query, key, value = inputs()
    sigmoid = lambda scores: scores.sigmoid()  # noqa: E731
    found = at.attend(query, key, value, mask=at.causal(), normalize=sigmoid, need_weights=True)
    scores = at.ScaledDot()(query, key)
    expected = scores.sigmoid().masked_fill(~at.causal().materialize(5, 7), 0.0)
    torch.testing.assert_close(found.weights, expected)
    with at.capture(model := Model(sigmoid)) as seen:
        model(query, key, value)
    torch.testing.assert_close(seen[0].weights.float(), expected, rtol=1e-3, atol=1e-3)


class Model(torch.nn.Module):
    def __init__(self, normalize):
        super().__init__()
        self.normalize = normalize

    def forward(self, query, key, value):
        return at.attend(query, key, value, mask=at.causal(), normalize=self.normalize).context


def test_what_cannot_be_done_is_refused_in_a_line(seed, as_installed):
    tensors = inputs()
    for engine in ("sdpa", "short", "additive", "blocks"):
        with pytest.raises(ValueError, match=r"normalizes by softmax only, and normalize is Sparsemax\(\)"):
            at.attend(*tensors, normalize=at.Sparsemax(), engine=engine)
    assert at.explain(*tensors, normalize=at.Sparsemax()).engine == "reference"
    with pytest.raises(ValueError, match=r"write Sparsemax\(\)"):
        at.attend(*tensors, normalize=at.Sparsemax)
    with pytest.raises(ValueError, match="leave it out for softmax"):
        at.attend(*tensors, normalize="sparsemax")
    with pytest.raises(ValueError, match=r"a weight for each score, \[2, 3, 5, 7\], got \[2, 3, 5\]"):
        at.attend(*tensors, normalize=lambda scores: scores.sum(-1))
    for alpha in (1.0, 2.5, float("nan")):
        with pytest.raises(ValueError, match=r"alpha must be from 1\.01 to 2"):
            at.Entmax(alpha)
