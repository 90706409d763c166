"""An output depends on later inputs although the model is meant to be causal.

Seen by changing one later input and looking which earlier outputs move.
"""

from collections.abc import Iterator

import torch

from attentio.inspection.doctor.diagnosis import Finding
from attentio.inspection.doctor.patient import Patient

ID = "future-leak"
TITLE = "outputs of a causal model do not depend on later inputs"
NEEDS = ("positions",)


def check(patient: Patient) -> Iterator[Finding]:
    """Change one input after the other."""
    for sequence in patient.sequences:
        if not patient.causal:
            continue
        for position in range(1, sequence.length):
            where = torch.zeros(sequence.rows, sequence.length, dtype=torch.bool)
            where[:, position] = True
            for output, apart in patient.differences(
                patient.run({sequence.name: patient.changed(sequence, where)})
            ).items():
                if output.sequence == sequence.name and (apart[:, :position] > patient.tolerance).any():
                    yield Finding(ID, "error", "an earlier output moves when a later input changes", "", {}, "")
                    return
