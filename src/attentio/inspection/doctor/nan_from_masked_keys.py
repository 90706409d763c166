"""NaN or inf at a padded position reaches real ones: its weight is 0, and 0 * NaN is NaN.

Seen where the example holds such numbers; otherwise provoked by putting NaN there.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Finding
from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.patient import Patient

ID = "nan-from-masked-keys"
TITLE = "what is not finite at padded positions stays there"
NEEDS = ("positions", "padding")
EXPLAINS = ("padding-leak", "encoder-reads-padding", "batch-dependence")


def check(patient: Patient) -> Iterator[Finding]:
    """Of inputs that are floats: token ids cannot be NaN."""
    for sequence in patient.sequences:
        if sequence.kind == "features" and sequence.name in patient.padding:
            yield from _check(patient, sequence)


def _check(patient: Patient, sequence: SequenceInput) -> Iterator[Finding]:
    value: Tensor = patient.inputs.values[sequence.name]
    real = patient.real(sequence)
    padded = ~(real.T if sequence.batch == 1 else real).unsqueeze(2)
    dirty = padded & ~value.isfinite()
    if not padded.any():
        return
    given = bool(dirty.any())
    clean = patient.run({sequence.name: value.masked_fill(dirty, 0.0)})
    spoilt = patient.base if given else patient.run({sequence.name: value.masked_fill(padded, torch.nan)})
    count = _spoilt(patient, sequence, clean, spoilt)
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


def _spoilt(patient: Patient, sequence: SequenceInput, clean: dict[str, Tensor], spoilt: dict[str, Tensor]) -> int:
    """How many numbers at real positions are finite in `clean` and not in `spoilt`."""
    count = 0
    for output in patient.outputs:
        if output.sequence is None or output.path not in spoilt:
            continue
        before, after = output.rows(clean[output.path]), output.rows(spoilt[output.path])
        real = patient.real(patient.sequence(output.sequence))[:, : before.shape[1]].unsqueeze(2).to(before.device)
        count += int((real & before.isfinite() & ~after.isfinite()).sum())
    return count
