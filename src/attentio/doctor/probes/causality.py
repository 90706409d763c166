"""Whether outputs depend on later inputs, and whether they may: what two checks share."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import torch

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.edits import one_changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.gradient import future_gradient
from attentio.doctor.probes.influence import influence
from attentio.doctor.probes.trace import Still, first_moved, traced, traced_example

NEARLY = 0.8
"""Later inputs reach at least this share of what earlier ones reach: then both directions are meant."""


class Leak(NamedTuple):
    """An output that depends on later inputs. intended: nobody said it may not, and it looks as if it were meant so."""

    output: Output
    intended: bool
    evidence: dict[str, Any]
    where: str


def leaks(subject: Subject, facts: Facts, sequence: SequenceInput, expected: bool | None) -> Iterator[Leak]:
    """Outputs at the positions of `sequence` that depend on later ones. expected: whether they must not; None: open,
    False: both directions are meant."""
    measured = influence(subject, facts, sequence)
    if len(measured.positions) < 3:
        raise Skip(f"{sequence.name} has fewer than three real positions")
    for output, apart in measured.apart.items():
        moved = apart > subject.tolerance
        future = [
            (s, t) for s, row in zip(measured.positions, moved, strict=True) for t in range(min(s, len(row))) if row[t]
        ]
        if future:
            intended = expected is False or (expected is None and _both_ways(moved, measured.positions))
            yield _described(subject, facts, sequence, output, future, apart, intended)
        else:
            leak = _by_gradient(subject, facts, sequence, output, measured.positions)
            if leak is not None:
                yield leak._replace(intended=expected is False)


def _both_ways(moved: torch.Tensor, positions: list[int]) -> bool:
    """Whether later inputs reach about as many earlier outputs as the reverse, however far a position sees."""
    there = [position for position in positions if position < moved.shape[1]]
    reached = moved[: len(there), there]
    return bool(reached.tril(-1).sum() >= NEARLY * reached.triu(1).sum())


def _described(
    subject: Subject,
    facts: Facts,
    sequence: SequenceInput,
    output: Output,
    future: list[tuple[int, int]],
    apart: torch.Tensor,
    intended: bool,
) -> Leak:
    positions = influence(subject, facts, sequence).positions
    s, t = min(future, key=lambda pair: (pair[1], pair[0]))
    evidence: dict[str, Any] = {
        "output": output.title,
        "changed": f"{sequence.name} at position {s}",
        "earliest output that moved": t,
        "moved by (relative)": float(apart[positions.index(s), t]),
        "pairs (later input, earlier output) that moved": len(future),
        "of pairs looked at": sum(positions),
    }
    with suppress(Skip):
        size, _ = future_gradient(subject, facts, sequence, output, t)
        evidence["gradient of that output on later inputs (relative)"] = size
    where = "" if intended else _where(subject, facts, sequence, s, t)
    return Leak(output, intended, evidence, where)


def _where(subject: Subject, facts: Facts, sequence: SequenceInput, changed: int, moved: int) -> str:
    still = facts.real(sequence) & (torch.arange(sequence.length) <= moved)
    after = traced(subject, one_changed(facts, sequence, changed))
    return first_moved(traced_example(subject), after, [Still(sequence, still)], subject.tolerance)[0]


def _by_gradient(
    subject: Subject, facts: Facts, sequence: SequenceInput, output: Output, positions: list[int]
) -> Leak | None:
    """No change moved an earlier output; a gradient may still lead there."""
    for position in sorted({positions[0], positions[len(positions) // 2]}):
        try:
            size, later = future_gradient(subject, facts, sequence, output, position)
        except Skip:
            return None
        if size > subject.tolerance:
            evidence = {
                "output": output.title,
                "output position": position,
                f"gradient on {sequence.name} at position {later} (relative)": size,
                "moved by changing contents": 0.0,
            }
            return Leak(output, False, evidence, "")
    return None
