"""Every attention of a run, whatever was called, as its scores and what they allow: what several checks look at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_mask

from attentio.attention.compare import Dot
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask import Mask
from attentio.attention.normalize import normalize
from attentio.capturing.observe import Observed, observing
from attentio.capturing.scores import ZeroOne, is_masked, is_zero_one, scale_of, zero_one_of
from attentio.capturing.tracer import WrittenOut
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject


@dataclass(kw_only=True, eq=False)
class Attention:
    """One call of one attention.

    name: path of its module. api: as in `Observed`.
    scores: [batch, heads, q, k], everything added, the mask too. allowed: bool, the same shape.
    zero_one: a tensor of only 0 and 1 that was added to the scores or multiplied with them, if there is one.
    scale: what dot products of `features` numbers were multiplied by; None where that is no one number, or where no
        scale is the definition (attentio's `Dot`).
    query, key, value, context, normalize, dropout: as in `Observed`. Written by hand, the first three are as they stand
        in the two products, in whichever order, keys mostly with the features before the positions; None where there
        is no such product.
    """

    name: str
    api: str
    scores: Tensor
    allowed: Tensor
    context: Tensor
    query: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None
    zero_one: ZeroOne | None = None
    scale: float | None = None
    features: int = 0
    normalize: NormalizeFunction | None = None
    dropout: float = 0.0

    @cached_property
    def weights(self) -> Tensor:
        """[batch, heads, q, k], 0 in a row that allows nothing."""
        scores = self.scores.masked_fill(~self.allowed, -torch.inf)
        return normalize(scores, self.normalize)

    @property
    def title(self) -> str:
        """As it is called in sentences."""
        return self.name or "the model"


@contextmanager
def watching(
    subject: Subject, facts: Facts, visit: Callable[[Attention], None], model: nn.Module | None = None
) -> Iterator[None]:
    """Calls `visit` with every attention that runs meanwhile, in another copy where `model` is given. NaN scores are
    passed on as they are."""

    def by_hand(one: WrittenOut) -> None:
        scores = one.softmax.scores
        whole = scores is not None and one.weights.shape[-1] == scores.shape[-1]  # no sink was cut off
        if whole and one.softmax.axis == -1 and one.summed in (-1, -2):
            visit(_by_hand(one, facts))

    def observed(one: Observed) -> None:
        if one.query is not None:
            visit(_observed(one))

    with observing(model or subject.model, observed, on_written_out=by_hand):
        yield


def attentions(subject: Subject, facts: Facts, visit: Callable[[Attention], None]) -> None:
    """Runs the model on its example, and calls `visit` with every attention.

    Raises:
        Skip: the model cannot be run so.
    """
    with watching(subject, facts, visit):
        subject.run(what="while its attention was watched")


def real_queries(facts: Facts, attention: Attention) -> Tensor | None:
    """bool [batch, q]: which queries are no padding; None if it is not known which sequence they are."""
    batch, _, q, _ = attention.scores.shape
    fitting = [one for one in facts.sequences if (one.batch_size, one.length) == (batch, q)]
    real = None
    for sequence in fitting:
        real = facts.real(sequence) if real is None else real & facts.real(sequence)
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
    allowed = ~is_masked(scores)
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
        query=one.query,
        key=one.key,
        value=one.value,
        zero_one=ZeroOne(added, "added") if added is not None and is_zero_one(added) else None,
        scale=None if isinstance(one.score, Dot) else one.scale,
        features=query.shape[-1],
        normalize=one.normalize,
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


def _by_hand(one: WrittenOut, facts: Facts) -> Attention:
    assert one.softmax.scores is not None
    scores = one.softmax.scores.detach().double()
    if scores.ndim == 3:  # batch and heads in one axis, or no heads
        rows = facts.sequences[0].batch_size if facts.sequences else 1
        scores = scores.unflatten(0, (rows, -1)) if len(scores) % rows == 0 else scores.unsqueeze(1)
    scores = scores[:, None, None] if scores.ndim == 2 else scores.flatten(0, -4)
    product = one.softmax.product
    return Attention(
        name=one.name,
        api="softmax",
        scores=scores,
        allowed=~is_masked(scores),
        context=one.context,
        query=None if product is None else product.operands[0],
        key=None if product is None else product.operands[1],
        value=one.values,
        zero_one=zero_one_of(one.softmax),
        scale=scale_of(one.softmax),
        features=0 if product is None else product.features,
    )
