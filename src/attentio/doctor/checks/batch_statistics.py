"""In training, a row's result depends on the other rows: batch norms over sequences.

In evaluation their kept statistics hide it. In a causal model such statistics are a look at the future; with padding,
they count padding. Seen by a copy in training mode without dropout, with other contents in all rows but the first.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from attentio.doctor.diagnosis import Finding, Severity, Skip
from attentio.doctor.patient.edits import changed, one_changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.causality import leaks
from attentio.doctor.probes.comparison import compared, largest
from attentio.doctor.probes.trace import traced_example
from attentio.doctor.probes.training import NORMS, trained

ID = "batch-statistics"
TITLE = "in training too, a row's result does not depend on the other rows"
NEEDS = ("rows",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """One finding: an error in a causal model; else a warning, but a note behind convolutions without padding."""
    if facts.batch_size < 2 or not facts.sequences:
        raise Skip("the example has no sequences of two rows")
    training = trained(subject, facts, batch_statistics=True)
    base = training.run()
    others: dict[str, Any] = {}
    for one in facts.sequences:
        where = facts.real(one).clone()
        where[0] = False
        others |= changed(facts, one, where)
    first = torch.arange(1)
    size, place = largest(compared(facts, base, training.run(others), rows=first)) if others else (0.0, "")
    if size <= subject.tolerance:
        return
    evidence: dict[str, Any] = {"changed": "all rows but the first", "moved most": place, "by (relative)": size}
    norms = [name for name, one in subject.model.named_modules() if isinstance(one, NORMS)]
    severity: Severity = "note" if norms and set(norms) <= _behind_convolutions(subject) else "warning"
    for one in facts.sequences:
        padded = ~facts.real(one)
        if padded.any():
            moved, _ = largest(compared(facts, base, training.run(changed(facts, one, padded))))
            if moved > subject.tolerance:
                severity = "warning"
                evidence[f"moved by other contents at the padding of {one.name}"] = moved
    ahead = _ahead(subject, facts, training, base)
    if ahead > subject.tolerance:
        severity = "error"
        evidence["earlier outputs moved by a later input, in training alone"] = ahead
    yield Finding(
        ID,
        severity,
        "in training, the result of a row depends on the other rows",
        "In training mode, other contents in the other rows move the result of the first; in evaluation they do not. "
        "Statistics are taken over the batch and all positions"
        + (
            ": later positions too, so that this causal model sees the future while it learns."
            if severity == "error"
            else ": padding too, so that a row's result depends on how long the others are."
            if severity == "warning"
            else ", as batch norms do. In models of sequences a norm over the features of each position is usual."
        ),
        evidence | ({"layers that do so": norms[:6]} if norms else {}),
        "`nn.LayerNorm(width)` or `nn.RMSNorm(width)` in place of `nn.BatchNorm1d(width)`: they look at one position.",
        norms[0] if norms else "",
    )


def _behind_convolutions(subject: Subject) -> set[str]:
    """Norms that were given what a convolution gave: there they are usual."""
    calls, found = traced_example(subject), set()
    for before, call in pairwise(calls):
        behind = isinstance(call.module, NORMS) and isinstance(before.module, nn.modules.conv._ConvNd)
        if behind and torch.equal(before.returned[0], call.given[0]):
            found.add(call.name)
    return found


def _ahead(subject: Subject, facts: Facts, training: Any, base: dict[str, torch.Tensor]) -> float:
    """How far earlier outputs move with the last real input, in training, of a model that is causal in evaluation."""
    one = facts.predicted
    try:
        if any(True for _ in leaks(subject, facts, one, True)):
            return 0.0
    except Skip:
        return 0.0
    last = int(facts.real(one).all(0).nonzero()[-1]) if facts.real(one).all(0).any() else 0
    if last == 0:
        return 0.0
    after = training.run(one_changed(facts, one, last))
    apart = [tensor[:, :last] for output, tensor in compared(facts, base, after).items() if output.sequence == one.name]
    return max((float(each.max()) for each in apart), default=0.0)
