"""Every attention of a run, whatever was called, as its scores and what they allow: what several checks look at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from attentio.attention.compare import Dot, ScaledDot
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.normalize import normalize
from attentio.capturing.observe import Observed, observing
from attentio.capturing.recompute import Part, allowed_of, scores_of, sizes
from attentio.capturing.record import SelfOrCross
from attentio.capturing.scores import ZeroOne, is_masked, is_zero_one, scale_of, zero_one_of
from attentio.capturing.tracer import WrittenOut
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject


@dataclass(kw_only=True, eq=False)
class Attention:
    """One call of one attention.

    name: path of its module. api, kind: as in `Observed`.
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
    kind: SelfOrCross
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
    batch, heads, q, _ = sizes(one)
    everything, exact = Part(range(batch), range(heads), range(q)), one
    if one.score is None or isinstance(one.score, Dot | ScaledDot):  # others compute in the precision of their weights
        exact = replace(one, query=one.query.double(), key=one.key.double())
    scores, allowed = scores_of(exact, everything).double(), allowed_of(exact, everything)
    # A bias may mask too.
    allowed = ~is_masked(scores) if allowed is None else allowed & ~is_masked(scores)
    added = [each for each in (one.mask, one.bias) if isinstance(each, Tensor) and is_zero_one(each)]
    return Attention(
        name=one.name,
        api=one.api,
        kind=one.kind,
        scores=scores.masked_fill(~allowed, -torch.inf),
        allowed=allowed,
        context=one.context,
        query=one.query,
        key=one.key,
        value=one.value,
        zero_one=ZeroOne(added[0], "added") if added else None,
        scale=None if isinstance(one.score, Dot) else one.scale,
        features=one.query.shape[-1],
        normalize=one.normalize,
        dropout=one.dropout,
    )


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
        kind=one.caller.kind({"weights": scores}),
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
