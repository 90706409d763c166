"""The result of a row depends on the other rows of its batch, on their order or on their number.

Usual: attention, softmax or a norm over the wrong axis, `batch_first` forgotten, batch statistics in evaluation, a view
that mixes batch and heads. Seen by turning the batch round, doubling it, taking one row alone, and changing the others.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Finding, Skip
from attentio.inspection.doctor.lengthened import largest
from attentio.inspection.doctor.outputs import Output, difference
from attentio.inspection.doctor.patient import Patient

ID = "batch-dependence"
TITLE = "a row's result does not depend on the other rows"
NEEDS = ("rows",)
EXPLAINS = (
    "future-leak",
    "teacher-forcing-leak",
    "padding-leak",
    "encoder-reads-padding",
    "positions-ignore-padding",
    "cached-differs",
    "window-off-by-one",
)


def check(patient: Patient) -> Iterator[Finding]:
    """Compose the batch anew in several ways."""
    rows = patient.rows
    pick = torch.arange(rows)
    ways: list[tuple[str, Callable[[], dict[str, Any]], Tensor]] = [
        ("the batch twice", lambda: patient.picked(pick.repeat(2)), pick),
    ]
    if rows > 1:
        ways.append(("the batch turned round", lambda: patient.picked(pick.flip(0)), pick.flip(0)))
        ways.append(("the first row alone", lambda: patient.picked(pick[:1]), pick[:1]))
        ways.append(("the last row alone", lambda: patient.picked(pick[-1:]), pick[-1:]))
        ways.append(("other contents in all rows but the first", lambda: _others_changed(patient), pick[:1]))
    sizes, place, refused = {}, "", None
    for what, values, came in ways:
        try:
            size, where = _moved(patient, values(), came, what)
        except Skip as reason:
            refused = refused or reason
            continue
        sizes[what] = size
        place = place or (where if size > patient.tolerance else "")
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


def _others_changed(patient: Patient) -> dict[str, Any]:
    changed = {}
    for sequence in patient.sequences:
        where = patient.real(sequence).clone()
        where[0] = False
        changed[sequence.name] = patient.changed(sequence, where)
    if not changed:
        raise Skip("no contents to change")
    return changed


def _moved(patient: Patient, values: dict[str, Any], came: Tensor, what: str) -> tuple[float, str]:
    """How far the rows `came` of the example, which are the first rows now, have moved."""
    after = patient.run(values, what=f"on {what}")
    apart: dict[Output, Tensor] = {}
    for output in patient.outputs:
        if output.path not in after or after[output.path].ndim != patient.base[output.path].ndim:
            continue
        old, new = output.rows(patient.base[output.path])[came], output.rows(after[output.path])[: len(came)]
        if output.sequence is not None:
            shared = min(old.shape[1], new.shape[1])
            old, new = old[:, :shared], new[:, :shared]
        if old.shape != new.shape:
            continue
        apart[output] = difference(old, new).cpu()
        if output.sequence is not None:
            real = patient.real(patient.sequence(output.sequence))[came, : apart[output].shape[1]]
            apart[output] = apart[output].masked_fill(~real, 0.0)
    return largest(apart)
