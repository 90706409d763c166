"""Written-out attention is traced from the product of queries and keys to that with the values; masks are known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at
from attentio.capturing.observe import Observed, observing
from attentio.capturing.scores import is_zero_one, scale_of, zero_one_of
from attentio.capturing.tracer import WrittenOut
from attentio.doctor.patient.facts import Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions

BATCH, HEADS, Q, K, D, DV = 2, 3, 5, 11, 7, 13


def traced(function: Callable[[], Tensor]) -> list[WrittenOut]:
    seen: list[WrittenOut] = []
    with observing(nn.Identity(), on_written_out=seen.append):
        function()
    return seen


def observed(function: Callable[[], Tensor]) -> list[Observed]:
    seen: list[Observed] = []
    with observing(nn.Identity(), seen.append):
        function()
    return seen


def heads(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(BATCH, HEADS, n, d, dtype=dtype) for n, d in ((Q, D), (K, D), (K, DV))]


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_the_scale_is_read_from_scores_however_it_is_applied(scale: float, seed: int) -> None:
    query, key, value = heads()
    allowed = torch.rand(Q, K) > 0.3
    allowed[:, 0] = True

    def after(q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT * scale).masked_fill(~allowed, -math.inf)

    def before(q: Tensor, k: Tensor) -> Tensor:
        return torch.einsum("bhqd,bhkd->bhqk", q * scale, k) + torch.where(allowed, 0.0, -1e9)

    def divided_in_place(q: Tensor, k: Tensor) -> Tensor:
        scores = torch.matmul(q / math.sqrt(1 / scale), (k * scale**0.5).transpose(2, 3))
        scores += torch.where(allowed, 0.0, -1e9)
        return scores

    for compare in (after, before, divided_in_place):
        (seen,) = traced(lambda compare=compare: compare(query, key).softmax(-1) @ value)
        assert scale_of(seen.softmax) == pytest.approx(scale)
        assert seen.softmax.product is not None
        assert seen.softmax.product.features == D


def test_scores_with_a_bias_have_no_one_scale(seed: int) -> None:
    query, key, value = heads()
    bias = torch.randn(Q, K)
    (seen,) = traced(lambda: (query @ key.mT + bias).softmax(-1) @ value)
    assert scale_of(seen.softmax) is None


def test_weights_are_traced_to_the_product_with_the_values(seed: int) -> None:
    query, key, value = (tensor[:, 0] for tensor in heads())
    (seen,) = traced(lambda: F.dropout(F.softmax(query @ key.mT, dim=-1), 0.2) @ value)
    assert (seen.softmax.axis, seen.summed, seen.dropout) == (-1, -1, 0.2)
    assert torch.equal(seen.weights, (query @ key.mT).softmax(-1))
    assert torch.equal(seen.used @ value, seen.context)
    assert not torch.equal(seen.used, seen.weights)
    (seen,) = traced(lambda: torch.softmax(query @ key.mT, 1) @ value)
    assert (seen.softmax.axis, seen.summed) == (-2, -1)
    (seen,) = traced(lambda: torch.einsum(query, [0, 1, 2], key, [0, 3, 2], [0, 1, 3]).softmax(-1) @ value)
    assert seen.softmax.product is not None
    assert seen.softmax.product.features == D
    assert not traced(lambda: (query @ key.mT).softmax(-1))


def test_the_axis_that_softmax_takes_by_itself_is_known(seed: int) -> None:
    square, value = torch.randn(BATCH, K, K), torch.randn(BATCH, K, D)
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        (seen,) = traced(lambda: F.softmax(square) @ value)
    assert seen.softmax.axis == -3


def test_weights_whose_axes_were_turned_are_no_attention_any_more(seed: int) -> None:
    """Where there are as many queries as keys, their shapes do not tell."""
    square, value = torch.randn(BATCH, K, K), torch.randn(BATCH, K, D)
    turns: list[Callable[[Tensor], Tensor]] = [
        lambda w: w.mT,
        lambda w: w.transpose(1, 2),
        lambda w: w.permute(0, 2, 1),
        lambda w: w.movedim(1, 2),
        lambda w: torch.swapdims(w, -1, -2),
    ]
    for turn in turns:
        assert not observed(lambda turn=turn: turn(square.softmax(-1)) @ value)
    (seen,) = observed(lambda: square.softmax(-1).transpose(0, 1).transpose(0, 1) @ value)
    assert seen.weights is not None
    assert torch.equal(seen.weights[:, 0], square.softmax(-1))


def test_a_product_added_to_a_bias_is_a_product_with_the_values_too(seed: int) -> None:
    scores, value, bias = torch.randn(BATCH, Q, K), torch.randn(BATCH, K, D), torch.randn(BATCH, Q, D)
    (seen,) = observed(lambda: torch.baddbmm(bias, scores.softmax(-1), value))
    assert seen.weights is not None
    assert torch.equal(seen.weights.squeeze(), scores.softmax(-1))


def test_one_softmax_is_one_attention_however_often_its_weights_are_used(seed: int) -> None:
    scores, value = torch.randn(BATCH, Q, K), torch.randn(BATCH, K, D)

    def twice() -> Tensor:
        weights = scores.softmax(-1)
        return weights @ value + weights @ value

    assert len(observed(twice)) == 1


def test_without_a_reader_of_scores_nothing_lives_longer(seed: int) -> None:
    query, key, value = heads()
    alive: list[bool] = []

    class Model(nn.Module):
        def forward(self) -> tuple[Tensor, Tensor]:
            scores = query @ key.mT
            weights = scores.softmax(-1)
            self.scores = torch.utils.weak.WeakIdRef(scores)
            return weights @ value, weights

    model = Model()
    with observing(model, lambda one: None):
        kept = model()
        alive.append(model.scores() is not None)
    with observing(model, on_written_out=lambda one: None):
        kept = model()
        alive.append(model.scores() is not None)
    assert alive == [False, True]
    assert len(kept) == 2


def test_a_mask_of_zero_and_one_is_one_of_both(seed: int) -> None:
    assert is_zero_one(torch.tensor([[0.0, 1.0]]))
    assert is_zero_one(torch.tensor([[0.0, 1.0, -math.inf]]))
    for other in ([[0.0, 0.0]], [[1.0, 1.0]], [[0.0, -math.inf]], [[0.0, 0.5, 1.0]]):
        assert not is_zero_one(torch.tensor(other))
    assert not is_zero_one(torch.tensor([[False, True]]))
    query, key, value = heads()
    mask = (torch.arange(K) < 4).double().expand(Q, K)
    (seen,) = traced(lambda: (query @ key.mT + torch.randn(Q, K) + mask).softmax(-1) @ value)
    assert zero_one_of(seen.softmax) == (mask, "added")
    (seen,) = traced(lambda: (query @ key.mT * mask + torch.randn(Q, K)).softmax(-1) @ value)
    assert zero_one_of(seen.softmax) == (mask, "multiplied")
    (seen,) = traced(lambda: (query @ key.mT * mask).masked_fill(mask == 0, -math.inf).softmax(-1) @ value)
    assert zero_one_of(seen.softmax) is None


class Masked(nn.Module):
    """Attention of a sequence to itself, with a mask of numbers."""

    def __init__(self, dtype: torch.dtype, low: float, written_out: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(31, D, dtype=dtype)
        self.low, self.written_out = low, written_out

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.embed(ids)[:, None] / 2
        added = torch.zeros(attention_mask.shape, dtype=torch.float64).masked_fill(attention_mask == 0, self.low)
        added = added[:, None, None, :].to(hidden.dtype)
        if not self.written_out:
            return F.scaled_dot_product_attention(hidden, hidden, hidden, attn_mask=added)
        return (hidden @ hidden.mT / math.sqrt(D) + added).softmax(-1) @ hidden


@pytest.mark.parametrize("low", [-math.inf, "least", -1e9, -1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_masked_keys_are_masked_for_capture_and_doctor_alike(seed: int, dtype: torch.dtype, low: float | str) -> None:
    number = torch.finfo(dtype).min if isinstance(low, str) else low
    real = torch.arange(K) < torch.tensor([K, 4])[:, None]
    inputs = {"ids": torch.randint(31, (BATCH, K)), "attention_mask": real.long()}
    for written_out in (False, True):
        model = Masked(dtype, number, written_out)
        seen_by_doctor: list[Attention] = []
        subject = Subject(model, inputs)
        attentions(subject, learn(subject, Told()), seen_by_doctor.append)
        (examined,) = seen_by_doctor
        assert torch.equal(examined.allowed, real[:, None, None].expand(BATCH, 1, K, K))
        with torch.no_grad(), at.capture(model, parts=True) as seen:
            model(**inputs)
        assert torch.equal(seen[0].weights > 0, examined.allowed)
        if not written_out:
            assert seen[0].allowed is not None
            assert torch.equal(seen[0].allowed.expand(BATCH, 1, K, K), examined.allowed)
            assert seen[0].scores is not None
            assert (seen[0].scores.abs() < 100).all()
