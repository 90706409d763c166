"""How far a change of one input position reaches: which outputs move."""

from typing import NamedTuple

import torch
from torch import Tensor

from attentio.doctor.patient.edits import one_changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.comparison import compared

MOST = 10
"""Positions that are changed, at most, spread over the example."""


class Influence(NamedTuple):
    """positions: those that were changed, one a run.
    apart: for each output with these positions, how far each moved: [changed, position], largest of all rows.
    """

    positions: list[int]
    apart: dict[Output, Tensor]


@measured_once
def influence(subject: Subject, facts: Facts, sequence: SequenceInput) -> Influence:
    """Change one position of `sequence` after the other, in all rows in which it is real."""
    positions = spread(real_positions(facts, sequence), MOST)
    measured: dict[Output, list[Tensor]] = {}
    for position in positions:
        after = subject.run(one_changed(facts, sequence, position), what="on other contents")
        for output, apart in compared(facts, subject.base, after).items():
            if output.sequence == sequence.name:
                measured.setdefault(output, []).append(apart.amax(dim=0))
    return Influence(positions, {output: torch.stack(rows) for output, rows in measured.items()})


def real_positions(facts: Facts, sequence: SequenceInput) -> list[int]:
    """Positions that are not padding in some row."""
    return facts.real(sequence).any(dim=0).nonzero().flatten().tolist()


def spread(positions: list[int], most: int) -> list[int]:
    """At most so many of them, the first and the last included."""
    if len(positions) <= most:
        return positions
    return [positions[round(i * (len(positions) - 1) / (most - 1))] for i in range(most)]
