"""A softmax of what is already a distribution: probabilities become nearly even, and learning slow or impossible.

Seen in what softmax, log_softmax and cross_entropy are given: numbers from 0 to 1 that sum to 1.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from attentio.capturing.observe import observing
from attentio.capturing.scores import MASKED, is_masked
from attentio.capturing.tracer import SoftmaxCall
from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.loss import loss_of

ID = "double-softmax"
TITLE = "softmax is given scores, not probabilities"
NEEDS = ()
EXPLAINS = ("future-leak", "length-dependence", "padding-leak", "encoder-reads-padding", "positions-ignore-padding")


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Run the model, then its loss."""
    found: dict[tuple[str, str], Finding] = {}

    def visit(call: SoftmaxCall) -> None:
        if _is_distribution(call.given.detach().movedim(call.axis, -1)):
            found.setdefault((call.name, call.function), _finding(call))

    with observing(subject.model, on_softmax=visit):
        if facts.told.loss is None:
            subject.run(what="while its softmax was watched")
        else:
            loss_of(subject, facts)
    yield from found.values()


def _is_distribution(given: Tensor) -> bool:
    """Rows that sum to 1; where a mask has taken something from a row, no more than 1."""
    if not given.is_floating_point() or given.shape[-1] < 2 or not given.numel():
        return False
    masked = is_masked(given)
    kept = given.masked_fill(masked, 0.0).double()
    total, whole = kept.sum(-1), ~masked.any(-1)
    tolerance = 1e-9 if given.dtype == torch.float64 else 1e-5 if given.dtype == torch.float32 else 1e-2
    even = (kept == kept[..., :1]).all()  # scores that are all the same are scores all the same
    return bool(
        (kept >= 0).all()
        and not even
        and whole.any()
        and ((total[whole] - 1).abs() < tolerance).all()
        and (total < 1 + tolerance).all()
    )


def _finding(call: SoftmaxCall) -> Finding:
    given = call.given.detach().movedim(call.axis, -1).double().clamp(min=MASKED)
    again = given.masked_fill(is_masked(given), -torch.inf).softmax(-1)
    loss = call.function == "cross_entropy"
    what = "cross_entropy, which takes a softmax itself, is given" if loss else f"{call.function} is given"
    return Finding(
        ID,
        "error",
        f"{what} probabilities",
        "What is already a distribution lies between 0 and 1, so a second softmax can make no entry more than e = 2.7 "
        "times as large as another: the result is nearly even however sure the first one was. Nothing fails; "
        + ("the loss just stays high." if loss else "attention stays a mean over everything, what is masked included."),
        {
            "mean of the largest probability, before": float(given.amax(-1).mean()),
            "mean of the largest probability, after the second softmax": float(again.amax(-1).mean()),
            "entries of a row": given.shape[-1],
        },
        "Give cross_entropy the logits, without softmax; or keep the log-probabilities and use F.nll_loss."
        if loss
        else "Take the softmax once: mask the scores before it, not the weights after it.",
        call.name,
    )
