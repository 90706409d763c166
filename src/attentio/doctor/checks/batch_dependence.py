"""The result of a row depends on the other rows of its batch, on their order or on their number.

Usual: attention, softmax or a norm over the wrong axis, `batch_first` forgotten, batch statistics in evaluation, a view
that mixes batch and heads. Seen by turning the batch round, doubling it, taking one row alone, and changing the others.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import changed, picked
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.comparison import compared, largest

ID = "batch-dependence"
TITLE = "a row's result does not depend on the other rows"
NEEDS = ("rows",)
EXPLAINS = (
    "future-leak",
    "length-dependence",
    "teacher-forcing-leak",
    "padding-leak",
    "encoder-reads-padding",
    "positions-ignore-padding",
    "cached-differs",
    "window-off-by-one",
    "position-statistics",
    "batch-statistics",
    "order-blind",
)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Compose the batch anew in several ways."""
    rows = facts.batch_size
    pick = torch.arange(rows)
    ways: list[tuple[str, Callable[[], dict[str, Tensor]], Tensor]] = [
        ("the batch twice", lambda: picked(facts, pick.repeat(2)), pick),
    ]
    if rows > 1:
        ways.append(("the batch turned round", lambda: picked(facts, pick.flip(0)), pick.flip(0)))
        ways.append(("the first row alone", lambda: picked(facts, pick[:1]), pick[:1]))
        ways.append(("the last row alone", lambda: picked(facts, pick[-1:]), pick[-1:]))
        ways.append(("other contents in all rows but the first", lambda: _others_changed(facts), pick[:1]))
    sizes, place, refused = {}, "", None
    for what, values, came in ways:
        try:
            after = subject.run(values(), what=f"on {what}")
        except Skip as reason:
            refused = refused or reason
            continue
        sizes[what], where = largest(compared(facts, subject.base, after, rows=came))
        place = place or (where if sizes[what] > subject.tolerance else "")
    if not sizes:
        raise refused or Skip("the batch could not be composed anew")
    if place:
        yield Finding(
            ID,
            "error",
            "the result of a row depends on the other rows of the batch",
            "The same row was run in batches composed otherwise, and its result differs (the numbers are relative "
            "differences). Rows are independent examples, so information flows where it must not: scores depend on the "
            "batch size, and training sees other examples. Usual reasons: batch and positions exchanged "
            "(`nn.MultiheadAttention` and `nn.LSTM` expect [positions, batch, ..] unless `batch_first=True`), a "
            "softmax, mean or norm over the axis of the batch, or a `view` where a `transpose` was meant.",
            {"moved most": place, **sizes},
            "Say where the batch is, `nn.MultiheadAttention(.., batch_first=True)`; name the axis, `softmax(dim=-1)`; "
            "split heads by `x.view(batch, n, heads, d).transpose(1, 2)`.",
        )


def _others_changed(facts: Facts) -> dict[str, Tensor]:
    other: dict[str, Tensor] = {}
    for sequence in facts.sequences:
        where = facts.real(sequence).clone()
        where[0] = False
        other |= changed(facts, sequence, where)
    if not other:
        raise Skip("no contents to change")
    return other
