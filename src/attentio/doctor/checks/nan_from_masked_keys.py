"""NaN or inf at a padded position reaches real ones: its weight is 0, and 0 * NaN is NaN.

Seen where the example holds such numbers; otherwise provoked by putting NaN there.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.subject import Subject

ID = "nan-from-masked-keys"
TITLE = "what is not finite at padded positions stays there"
NEEDS = ("positions", "padding")
EXPLAINS = ("padding-leak", "encoder-reads-padding", "batch-dependence")


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Of inputs that are floats: token ids cannot be NaN."""
    for sequence in facts.sequences:
        if sequence.kind == "features" and sequence.name in facts.padding:
            yield from _check(subject, facts, sequence)


def _check(subject: Subject, facts: Facts, sequence: SequenceInput) -> Iterator[Finding]:
    value: Tensor = facts.values[sequence.name]
    padded = ~sequence.batch_first(facts.real(sequence)).unsqueeze(2)
    dirty = padded & ~value.isfinite()
    if not padded.any():
        return
    given = bool(dirty.any())
    clean = subject.run({sequence.name: value.masked_fill(dirty, 0.0)})
    spoilt = subject.base if given else subject.run({sequence.name: value.masked_fill(padded, torch.nan)})
    count = _spoilt(facts, clean, spoilt)
    if not count:
        return
    evidence: dict[str, Any] = {
        "outputs at real positions that are then not finite": count,
        "of them, with 0 at the padded positions": 0,
    }
    yield Finding(
        ID,
        "error" if given else "note",
        f"{sequence.name} is not finite at padded positions, and real ones become NaN"
        if given
        else f"NaN in the padding of {sequence.name} would reach real positions",
        "The mask gives a padded position the weight 0, but the weighted sum multiplies all the same, and 0 * NaN is "
        "NaN. Features hold such numbers where a buffer was never written (torch.empty), after log(0), or after a "
        "division by a length of 0." + ("" if given else " The example has none; this is what would happen."),
        evidence,
        "Clear the padding before the first layer: features = features.masked_fill(padded.unsqueeze(-1), 0.0). "
        "attentio.attend keeps such numbers out by itself.",
    )


def _spoilt(facts: Facts, clean: dict[str, Tensor], spoilt: dict[str, Tensor]) -> int:
    """How many numbers at real positions are finite in `clean` and not in `spoilt`."""
    count = 0
    for output in facts.outputs:
        if output.sequence is None or output.path not in spoilt:
            continue
        before, after = output.batch_first(clean[output.path]), output.batch_first(spoilt[output.path])
        real = facts.real(facts.sequence(output.sequence))[:, : before.shape[1]].unsqueeze(2).to(before.device)
        count += int((real & before.isfinite() & ~after.isfinite()).sum())
    return count
