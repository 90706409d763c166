"""Which outputs have rows and positions of the inputs: sizes alone leave it open, what grows with the inputs tells.

Run on twice as many rows, and on half as many positions. Only shapes are looked at.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.edits import picked, sliced
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output
from attentio.doctor.patient.subject import Subject


@dataclass(frozen=True)
class Growth:
    """rows: axes that grow with the batch, by path; None if the model takes no other batch than the example's.
    positions: the same for the positions of each sequence.
    """

    rows: dict[str, set[int]] | None
    positions: dict[str, dict[str, set[int]] | None]

    def with_rows(self, path: str, axis: int) -> bool:
        """Whether this axis, and no other, is the batch; what is not known may be."""
        return self.rows is None or self.rows.get(path) == {axis}

    def with_positions(self, path: str, axis: int, sequence: str) -> bool:
        """Whether this axis has the positions of `sequence`; what is not known may have."""
        known = self.positions[sequence]
        return known is None or axis in known.get(path, ())

    def has_positions(self, path: str, tensor: Tensor, lengths: set[int]) -> bool:
        """Whether any axis has positions of any sequence; where that is not known, its size tells."""
        if any(axes[path] for axes in self.positions.values() if axes is not None and path in axes):
            return True
        open_ = any(axes is None for axes in self.positions.values())
        return open_ and tensor.ndim > 2 and not lengths.isdisjoint(tensor.shape[1:])


def read_outputs(subject: Subject, facts: Facts) -> tuple[Output, ...]:
    """Which outputs have positions of which input, or rows at least.

    Left out is what has other positions, such as attention weights, frames of a shortened signal or a cache: it has no
    results of a row as a whole; and what has rows elsewhere than at the front, as the last states of `nn.LSTM`.
    """
    # A model may cut its outputs to the largest of the given lengths.
    longest = next((one.longest for one in facts.padding.values() if one.form == "lengths"), None)
    growth = _measure(subject, facts, longest)
    found = []
    lengths = {sequence.length for sequence in facts.sequences} | ({longest} if longest else set())
    for path, tensor in subject.base.items():
        candidates = sorted(facts.sequences, key=lambda one: one.target == ("encoder" in path))
        output = next((o for one in candidates if (o := _matched(path, tensor, one, longest, growth))), None)
        has_rows = tensor.ndim >= 1 and tensor.shape[0] == facts.batch_size and growth.with_rows(path, 0)
        if output is None and has_rows and not growth.has_positions(path, tensor, lengths):
            output = Output(path, 0, None)
        if output is not None:
            found.append(output)
    return tuple(found)


def _measure(subject: Subject, facts: Facts, longest: int | None) -> Growth:
    twice = torch.arange(facts.batch_size).repeat(2)
    rows = _grown(subject, picked(facts, twice)) if facts.batch_size else None
    positions = {}
    for one in facts.sequences:
        half = max(1, min(one.length, longest or one.length) // 2)
        positions[one.name] = _grown(subject, sliced(facts, one, 0, half, keys_from=0))
    return Growth(rows, positions)


def _grown(subject: Subject, values: dict[str, Any]) -> dict[str, set[int]] | None:
    """The axes whose sizes differ from those on the example; None if the model refuses."""
    try:
        after = subject.run(values)
    except Skip:
        return None
    both = {
        path: (one.shape, after[path].shape)
        for path, one in subject.base.items()
        if path in after and after[path].ndim == one.ndim
    }
    return {path: {i for i in range(len(old)) if old[i] != new[i]} for path, (old, new) in both.items()}


def _matched(path: str, tensor: Tensor, sequence: SequenceInput, longest: int | None, growth: Growth) -> Output | None:
    if tensor.ndim not in (2, 3) or "pool" in path:
        return None
    for batch in (sequence.batch_axis, 1 - sequence.batch_axis):
        fits = tensor.shape[batch] == sequence.batch_size and tensor.shape[1 - batch] in (sequence.length, longest)
        if fits and growth.with_rows(path, batch) and growth.with_positions(path, 1 - batch, sequence.name):
            return Output(path, batch, sequence.name)
    return None
