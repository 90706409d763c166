"""Captured weights against the equation in float64, for every comparison and mask, in one part or in many."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import attentio as at
from attentio.capturing import recompute

BATCH, HEADS, Q, K, D = 2, 3, 5, 7, 11


class Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


@pytest.fixture(params=["whole", "in parts"], autouse=True)
def _size_of_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in parts":
        monkeypatch.setattr(recompute, "_PART", 2 * K)


def _naive(scores: Tensor, allowed: Tensor | None) -> Tensor:
    """exp(score) / sum of exp(scores) over the allowed keys, row after row."""
    weights = torch.zeros_like(scores)
    allowed = torch.ones_like(scores, dtype=torch.bool) if allowed is None else allowed.expand(scores.shape)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in scores.shape[:-1])).tolist():
        keys = [k for k in range(scores.shape[-1]) if allowed[(*place, k)]]
        exponentials = [scores[(*place, k)].exp() for k in keys]
        for k, exponential in zip(keys, exponentials, strict=True):
            weights[(*place, k)] = exponential / sum(exponentials)
    return weights


def _dots(query: Tensor, key: Tensor, scale: float) -> Tensor:
    return scale * torch.einsum("bhqd,bhkd->bhqk", query.double(), key.double())


def _capture(function: Callable[..., Any], *inputs: Tensor, **options: Any) -> at.SeenAttention:
    module = Function(function)
    with torch.no_grad(), at.capture(module, **options) as seen:
        module(*inputs)
    (one,) = seen
    return one


def _assert_close(one: at.SeenAttention, expected: Tensor) -> None:
    assert one.weights.dtype == torch.float16
    torch.testing.assert_close(one.weights.double(), expected, atol=2e-7, rtol=1e-3)


def _drawn(q: int = Q, k: int = K) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(BATCH, HEADS, q, D), torch.randn(BATCH, HEADS, k, D), torch.randn(BATCH, HEADS, k, 13)


MASKS: dict[str, tuple[at.Mask, Callable[[int, int, int], bool]]] = {
    "causal": (at.causal(), lambda b, i, j: j <= i + K - Q),
    "causal from the start": (at.causal(align="start"), lambda b, i, j: j <= i),
    "window": (at.window(2, 1), lambda b, i, j: -2 <= j - (i + K - Q) <= 1),
    "padding": (at.padding(torch.tensor([K, 4])), lambda b, i, j: j < (K, 4)[b]),
    "both": (
        at.causal() & at.padding(torch.tensor([4, K])),
        lambda b, i, j: j <= i + K - Q and j < (4, K)[b],
    ),
}


@pytest.mark.parametrize("mask", MASKS)
def test_masks_of_attend(seed: int, mask: str) -> None:
    given, rule = MASKS[mask]
    query, key, value = _drawn()
    allowed = torch.tensor([[[rule(b, i, j) for j in range(K)] for i in range(Q)] for b in range(BATCH)])[:, None]
    one = _capture(lambda q, k, v: at.attend(q, k, v, mask=given), query, key, value, parts=True)
    _assert_close(one, _naive(_dots(query, key, D**-0.5), allowed))
    assert one.allowed is not None
    assert torch.equal(one.allowed.expand(BATCH, HEADS, Q, K), allowed.expand(BATCH, HEADS, Q, K))


def test_a_query_that_may_attend_to_nothing_has_weights_zero(seed: int) -> None:
    query, key, value = _drawn()
    allowed = torch.rand(BATCH, HEADS, Q, K) > 0.4
    allowed[1, 2, 3] = False
    for function in (
        lambda q, k, v: at.attend(q, k, v, mask=at.keep(allowed)),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, allowed),
    ):
        _assert_close(_capture(function, query, key, value), _naive(_dots(query, key, D**-0.5), allowed))


SCORES: dict[str, Callable[[], tuple[Any, Callable[[Tensor, Tensor], Tensor]]]] = {
    "dot": lambda: (at.Dot(), lambda q, k: _dots(q, k, 1.0)),
    "scaled": lambda: (at.ScaledDot(0.3), lambda q, k: _dots(q, k, 0.3)),
    "location": lambda: (at.Location(), lambda q, k: q[..., :K].double()),
    "anybody's": lambda: (
        lambda q, k: -torch.cdist(q, k),
        lambda q, k: -(q.double()[..., :, None, :] - k.double()[..., None, :, :]).norm(dim=-1),
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_comparisons_of_attend(seed: int, name: str) -> None:
    score, naive = SCORES[name]()
    query, key, value = _drawn()
    bias = torch.randn(HEADS, Q, K)
    one = _capture(lambda q, k, v: at.attend(q, k, v, score=score, bias=bias), query, key, value, parts=True)
    _assert_close(one, _naive(naive(query, key) + bias, None))
    assert one.scores is not None
    torch.testing.assert_close(one.scores.double(), naive(query, key) + bias, atol=2e-3, rtol=1e-3)


def test_a_location_has_no_queries_and_keys_that_could_be_compared(seed: int) -> None:
    query, key, value = torch.randn(BATCH, HEADS, Q, K + 2), *(torch.randn(BATCH, HEADS, K, D) for _ in range(2))
    one = _capture(lambda q, k, v: at.attend(q, k, v, score=at.Location()), query, key, value, parts=True)
    _assert_close(one, _naive(query[..., :K].double(), None))
    assert one.query is None
    assert one.key is None
    assert one.value is not None
    assert one.value.shape == value.shape


def test_additive_scores_without_heads(seed: int) -> None:
    vector, query, key, value = torch.randn(D), *(torch.randn(BATCH, n, D) for n in (Q, K, K))
    mask = at.padding(torch.tensor([K, 3]))
    one = _capture(lambda q, k, v: at.attend(q, k, v, score=at.Additive(vector), mask=mask), query, key, value)
    scores = torch.tanh(query.double()[:, :, None] + key.double()[:, None]) @ vector.double()
    _assert_close(one, _naive(scores[:, None], torch.arange(K) < torch.tensor([K, 3])[:, None, None, None]))


def test_masks_of_torch(seed: int) -> None:
    query, key, value = _drawn()
    allowed = torch.rand(BATCH, 1, Q, K) > 0.4
    allowed[..., 0] = True
    added = torch.randn(HEADS, Q, K).masked_fill(torch.rand(HEADS, Q, K) > 0.7, float("-inf"))
    added[..., 0] = 0.5
    least = torch.zeros(BATCH, 1, 1, K).masked_fill(torch.arange(K) > 4, torch.finfo(torch.float32).min)
    scores = _dots(query, key, D**-0.5)
    causal = torch.ones(Q, K).tril().bool()
    for options, expected in (
        ({"attn_mask": allowed}, _naive(scores, allowed)),
        ({"attn_mask": added}, _naive(scores + added.double(), None)),
        ({"attn_mask": least}, _naive(scores, least == 0)),
        ({"is_causal": True}, _naive(scores, causal)),
        ({"scale": 0.2}, _naive(_dots(query, key, 0.2), None)),
    ):
        one = _capture(lambda q, k, v, o=options: F.scaled_dot_product_attention(q, k, v, **o), query, key, value)
        _assert_close(one, expected)


def test_windows_of_images_are_sequences_of_a_larger_batch(seed: int) -> None:
    query, key, value = (torch.randn(BATCH, 4, HEADS, n, D) for n in (Q, K, K))
    added = torch.randn(4, 1, Q, K)
    one = _capture(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, added), query, key, value)
    scores = _dots(query.flatten(0, 1), key.flatten(0, 1), D**-0.5)
    _assert_close(one, _naive(scores + added.repeat(BATCH, 1, 1, 1), None))


def test_parts_tell_bias_from_mask_where_torch_adds_both(seed: int) -> None:
    query, key, value = _drawn()
    bias = torch.randn(HEADS, Q, K)
    forbidden = torch.rand(HEADS, Q, K) > 0.7
    for low in (float("-inf"), torch.finfo(torch.float32).min, -1e4, -1e9):
        added = bias.masked_fill(forbidden, low)
        one = _capture(
            lambda q, k, v, a=added: F.scaled_dot_product_attention(q, k, v, a), query, key, value, parts=True
        )
        assert one.scores is not None
        assert one.allowed is not None
        shown = one.scores.double()
        expected = _dots(query, key, D**-0.5) + bias.masked_fill(forbidden, 0.0)
        torch.testing.assert_close(shown, expected, atol=2e-3, rtol=1e-3)
        assert torch.equal(one.allowed.expand(BATCH, HEADS, Q, K), ~forbidden.expand(BATCH, HEADS, Q, K))
        assert one.scale == pytest.approx(D**-0.5)
        assert one.query is not None
        assert torch.equal(one.query, query.half())


def test_flex_attention_with_both_of_its_functions(seed: int) -> None:
    query, key, value = _drawn()
    slopes, lengths = torch.rand(HEADS), torch.tensor([K, 4])
    mask = create_block_mask(lambda b, h, i, j: (j <= i + 2) & (j < lengths[b]), BATCH, None, Q, K, device="cpu")
    one = _capture(
        lambda q, k, v: flex_attention(
            q, k, v, score_mod=lambda s, b, h, i, j: s - slopes[h] * (i - j).abs(), block_mask=mask, scale=0.2
        ),
        query,
        key,
        value,
    )
    i, j = torch.arange(Q)[:, None], torch.arange(K)
    scores = _dots(query, key, 0.2) - slopes[:, None, None] * (i - j).abs()
    _assert_close(one, _naive(scores, (j <= i + 2) & (j < lengths[:, None, None, None])))


def test_flex_attention_whose_scores_are_of_positions_alone(seed: int) -> None:
    query, key, value = _drawn()
    apart = lambda s, b, h, i, j: -0.5 * (i - j).abs().float()  # noqa: E731
    one = _capture(lambda q, k, v: flex_attention(q, k, v, score_mod=apart), query, key, value)
    scores = -0.5 * (torch.arange(Q)[:, None] - torch.arange(K)).abs().double()
    _assert_close(one, _naive(scores.expand(BATCH, HEADS, Q, K), None))


@pytest.mark.parametrize("lead", [((2, 1), (1, 3)), ((1, 3), (2, 3)), ((2, 3), (2, 1))], ids=str)
def test_axes_that_torch_broadcasts(seed: int, lead: tuple[tuple[int, int], tuple[int, int]]) -> None:
    query, key, value = torch.randn(*lead[0], Q, D), torch.randn(*lead[1], K, D), torch.randn(2, 3, K, D)
    one = _capture(F.scaled_dot_product_attention, query, key, value)
    _assert_close(one, _naive(_dots(query.expand(2, 3, Q, D), key.expand(2, 3, K, D), D**-0.5), None))


@pytest.mark.parametrize("keys", [Q, Q + 2])
def test_keys_and_values_given_past_the_projections(seed: int, keys: int) -> None:
    x, matrix, bias = torch.randn(Q, BATCH, HEADS * 4), torch.randn(HEADS * 12, HEADS * 4), torch.randn(HEADS * 12)
    static = torch.randn(2, BATCH * HEADS, keys, 4)
    weights: list[Tensor] = []

    def attention(x: Tensor) -> Tensor:
        options = {"static_k": static[0], "static_v": static[1], "average_attn_weights": False}
        context, found = F.multi_head_attention_forward(
            x, x, x, HEADS * 4, HEADS, matrix, bias, None, None, False, 0.0, matrix[: HEADS * 4], None, **options
        )
        weights.append(found)
        return context

    one = _capture(attention, x)
    torch.testing.assert_close(one.weights.float(), weights[0], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_any_precision_of_the_model(seed: int, dtype: torch.dtype) -> None:
    query, key, value = (tensor.to(dtype) for tensor in _drawn())
    _assert_close(_capture(F.scaled_dot_product_attention, query, key, value), _naive(_dots(query, key, D**-0.5), None))


def test_additive_scores_are_captured_under_autocast(seed: int) -> None:
    halves = [tensor.bfloat16() for tensor in _drawn()]
    score = at.Additive(torch.randn(halves[0].shape[-1]))
    expected = _capture(lambda q, k, v: at.attend(q, k, v, score=score), *(half.float() for half in halves))
    with torch.autocast("cpu", torch.bfloat16):
        one = _capture(lambda q, k, v: at.attend(q, k, v, score=score), *halves)
    torch.testing.assert_close(one.weights, expected.weights, rtol=1e-2, atol=1e-3)


def test_autocast_does_not_make_the_weights_coarse(seed: int) -> None:
    query, key, value = _drawn()
    with torch.autocast("cpu", torch.bfloat16):
        one = _capture(F.scaled_dot_product_attention, query, key, value)
    _assert_close(one, _naive(_dots(query, key, D**-0.5), None))


def test_chosen_heads_and_the_largest_weights(seed: int) -> None:
    query, key, value = _drawn()
    mask = at.keep(torch.rand(BATCH, HEADS, Q, K) > 0.3)
    everything = _capture(lambda q, k, v: at.attend(q, k, v, mask=mask), query, key, value)
    for heads in ([2, 0], [1, 2], [0, 0, 2]):
        one = _capture(lambda q, k, v: at.attend(q, k, v, mask=mask), query, key, value, heads=heads, parts=True)
        assert one.heads == tuple(heads)
        assert torch.equal(one.weights, everything.weights[:, heads])
        assert one.value is not None
        assert torch.equal(one.value, value[:, heads].half())
    few = _capture(lambda q, k, v: at.attend(q, k, v, mask=mask), query, key, value, top_k=4)
    kept = few.dense() > 0  # told by their keys: in float16 two weights may be equal
    assert torch.equal(few.dense()[kept], everything.weights[kept])
    assert torch.equal(few.dense().topk(4).values, everything.weights.topk(4).values)
    assert (kept.sum(-1) <= 4).all()
    more = _capture(lambda q, k, v: at.attend(q, k, v, mask=mask), query, key, value, top_k=K + 2)
    assert more.indices is not None
    assert (more.indices[..., K:] == -1).all()
    assert torch.equal(more.dense(), everything.weights)


def test_a_heads_number_that_there_is_not(seed: int) -> None:
    with pytest.raises(ValueError, match=r"heads must be numbers from 0 to 2, which '' has, got \(3,\)"):
        _capture(F.scaled_dot_product_attention, *_drawn(), heads=[3])
