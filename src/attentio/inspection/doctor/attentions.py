"""Every attention of a run, whatever was called, as its scores and what they allow: what several checks look at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_mask

from attentio.attention.compare import Dot
from attentio.attention.mask import Mask
from attentio.inspection.doctor.by_hand import FORBIDDEN, WrittenOut, following, is_zero_one, scale_of
from attentio.inspection.doctor.patient import Patient
from attentio.inspection.observe import Observed, observing


@dataclass(kw_only=True, eq=False)
class Attention:
    """One call of one attention.

    name: path of its module. api: as in `Observed`.
    scores: [batch, heads, q, k], everything added, the mask too. allowed: bool, the same shape.
    zero_one: a tensor of only 0 and 1 that was added to the scores, if there is one.
    scale: what dot products of `features` numbers were multiplied by; None where that is no one number, or where no
        scale is the definition (attentio's `Dot`).
    value, context, dropout: as in `Observed`; there is no value where it is written by hand.
    """

    name: str
    api: str
    scores: Tensor
    allowed: Tensor
    context: Tensor
    value: Tensor | None = None
    zero_one: Tensor | None = None
    scale: float | None = None
    features: int = 0
    dropout: float = 0.0

    @cached_property
    def weights(self) -> Tensor:
        """[batch, heads, q, k], 0 in a row that allows nothing."""
        scores = self.scores.masked_fill(~self.allowed, -torch.inf)
        return scores.softmax(-1).masked_fill(~self.allowed, 0.0)

    @property
    def title(self) -> str:
        """As it is called in sentences."""
        return self.name or "the model"


@contextmanager
def watching(patient: Patient, visit: Callable[[Attention], None]) -> Iterator[None]:
    """Calls `visit` with every attention that runs meanwhile. NaN scores are passed on as they are."""

    def by_hand(one: WrittenOut) -> None:
        if one.softmaxed.axis == -1 and one.summed in (-1, -2):
            visit(_by_hand(one, patient))

    def observed(one: Observed) -> None:
        if one.query is not None:
            visit(_observed(one))

    with following(patient.model, on_attention=by_hand), observing(patient.model, observed):
        yield


def attentions(patient: Patient, visit: Callable[[Attention], None]) -> None:
    """Runs the patient on its example, and calls `visit` with every attention.

    Raises:
        Skip: the model cannot be run so.
    """
    with watching(patient, visit):
        patient.run(what="while its attention was watched")


def real_queries(patient: Patient, attention: Attention) -> Tensor | None:
    """bool [batch, q]: which queries are no padding; None if it is not known which sequence they are."""
    batch, _, q, _ = attention.scores.shape
    fitting = [one for one in patient.sequences if (one.rows, one.length) == (batch, q)]
    real = None
    for sequence in fitting:
        real = patient.real(sequence) if real is None else real & patient.real(sequence)
    return real


def _observed(one: Observed) -> Attention:
    assert one.query is not None
    assert one.key is not None
    query, key = one.query.double(), one.key.double()
    scores = _compared(one, query, key)
    if one.bias is not None:
        scores = scores + one.bias
    added = one.mask if isinstance(one.mask, Tensor) and one.mask.is_floating_point() else None
    if added is not None:
        scores = scores + added
    allowed = (scores > FORBIDDEN) | scores.isnan()
    if added is None and one.mask is not None:
        allowed = allowed & _materialized(one.mask, scores)
    if one.is_causal:
        allowed = allowed & torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    return Attention(
        name=one.name,
        api=one.api,
        scores=scores.masked_fill(~allowed, -torch.inf),
        allowed=allowed,
        context=one.context,
        value=one.value,
        zero_one=added if added is not None and is_zero_one(added) else None,
        scale=None if isinstance(one.score, Dot) else one.scale,
        features=query.shape[-1],
        dropout=one.dropout,
    )


def _compared(one: Observed, query: Tensor, key: Tensor) -> Tensor:
    if one.score is not None and one.scale is None:
        return one.score(one.query, one.key).double()  # type: ignore[arg-type]
    scores = query @ key.transpose(-1, -2) * (1.0 if one.scale is None else one.scale)
    if one.score_mod is None:
        return scores
    b, h, q, k = (
        torch.arange(n, device=scores.device).view([-1 if i == axis else 1 for i in range(4)])
        for axis, n in enumerate(scores.shape)
    )
    return one.score_mod(scores, b, h, q, k)


def _materialized(mask: Any, scores: Tensor) -> Tensor:
    """bool that broadcasts to [batch, heads, q, k]."""
    q, k = scores.shape[-2:]
    if isinstance(mask, Mask):
        allowed = mask.materialize(q, k, scores.device)
        return allowed.unsqueeze(1) if allowed.ndim == 3 else allowed
    if isinstance(mask, BlockMask):
        batch, heads, _, _ = scores.shape
        return create_mask(mask.mask_mod, batch, heads, q, k, str(scores.device))
    return mask if mask.ndim != 3 else mask.unsqueeze(1)


def _by_hand(one: WrittenOut, patient: Patient) -> Attention:
    scores = one.softmaxed.scores.detach().double()
    if scores.ndim == 3:  # batch and heads in one axis, or no heads
        rows = patient.sequences[0].rows if patient.sequences else 1
        scores = scores.unflatten(0, (rows, -1)) if len(scores) % rows == 0 else scores.unsqueeze(1)
    scores = scores[:, None, None] if scores.ndim == 2 else scores.flatten(0, -4)
    comparison = one.softmaxed.comparison
    return Attention(
        name=one.name,
        api="softmax",
        scores=scores,
        allowed=(scores > FORBIDDEN) | scores.isnan(),
        context=one.context,
        zero_one=None if comparison is None else comparison.zero_one,
        scale=scale_of(one.softmaxed),
        features=0 if comparison is None else comparison.features,
    )
