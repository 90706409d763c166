"""With dropout at work the results are NaN, though in evaluation all is well.

Dropout on scores before the softmax multiplies -inf by 0 wherever it drops a forbidden pair; a row of weights that is
dropped as a whole and divided by its sum is 0 / 0. Seen by one run of a copy in training mode, just as it trains.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.trace import traced

ID = "nan-in-training"
TITLE = "with dropout at work results are finite"
NEEDS = ("rows",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Outputs that are finite in evaluation."""
    model = subject.fresh().train()
    outputs = subject.run(model=model, what="in training mode")
    lost = {
        path: int((tensor.isnan() & subject.base[path].isfinite()).sum())
        for path, tensor in outputs.items()
        if path in subject.base and tensor.shape == subject.base[path].shape
    }
    path, count = max(lost.items(), key=lambda one: one[1], default=("", 0))
    if not count:
        return
    calls = traced(subject, {}, subject.fresh().train())
    where = next((one.name for one in calls if any(tensor.isnan().any() for tensor in one.returned)), "")
    yield Finding(
        ID,
        "error",
        "in training, results are NaN",
        "The model was run in training mode, and numbers that are finite in evaluation are NaN: the loss is NaN from "
        "the first update on. Mostly dropout is applied to the scores, between mask and softmax, where it multiplies "
        "-inf by 0.",
        {"output": path or "output", "NaN": count, "of numbers": outputs[path].numel()},
        "Drop weights, not scores: `weights = F.dropout(scores.masked_fill(mask, -math.inf).softmax(-1), p, "
        "self.training)`.",
        where,
    )
