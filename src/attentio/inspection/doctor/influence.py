"""How far a change of one input position reaches: which outputs move, measured once for all checks that ask."""

from typing import NamedTuple

import torch
from torch import Tensor

from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.outputs import Output
from attentio.inspection.doctor.patient import Patient

MOST = 10
"""Positions that are changed, at most, spread over the example."""


class Influence(NamedTuple):
    """positions: those that were changed, one a run.
    apart: for each output with these positions, how far each moved: [changed, position], largest of all rows.
    """

    positions: list[int]
    apart: dict[Output, Tensor]


def influence(patient: Patient, sequence: SequenceInput) -> Influence:
    """Change one position of `sequence` after the other, in all rows in which it is real."""
    return patient.remember(("influence", sequence.name), lambda: _measure(patient, sequence))


def _measure(patient: Patient, sequence: SequenceInput) -> Influence:
    positions = spread(real_positions(patient, sequence), MOST)
    measured: dict[Output, list[Tensor]] = {}
    for position in positions:
        after = patient.run(one_changed(patient, sequence, position), what="on other contents")
        for output, apart in patient.differences(after).items():
            if output.sequence == sequence.name:
                real = patient.real(sequence)[:, : apart.shape[1]]
                measured.setdefault(output, []).append(apart.cpu().masked_fill(~real, 0.0).amax(dim=0))
    return Influence(positions, {output: torch.stack(rows) for output, rows in measured.items()})


def one_changed(patient: Patient, sequence: SequenceInput, position: int) -> dict[str, Tensor]:
    """The example with other contents at one position."""
    where = torch.zeros(sequence.rows, sequence.length, dtype=torch.bool)
    where[:, position] = True
    return {sequence.name: patient.changed(sequence, where & patient.real(sequence))}


def real_positions(patient: Patient, sequence: SequenceInput) -> list[int]:
    """Positions that are not padding in some row."""
    return patient.real(sequence).any(dim=0).nonzero().flatten().tolist()


def spread(positions: list[int], most: int) -> list[int]:
    """At most so many of them, the first and the last included."""
    if len(positions) <= most:
        return positions
    return [positions[round(i * (len(positions) - 1) / (most - 1))] for i in range(most)]
