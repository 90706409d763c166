"""Which axes of the outputs grow with the batch, and which with the positions: sizes alone leave it open.

Twice as many rows and half as many positions tell. Only shapes are looked at.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Skip
from attentio.inspection.doctor.inputs import SequenceInput

if TYPE_CHECKING:
    from attentio.inspection.doctor.patient import Patient


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


def growth_of(patient: "Patient", longest: int | None) -> Growth:
    """Run with the batch twice, and with the first half of each sequence."""
    twice = torch.arange(patient.rows).repeat(2)
    return Growth(
        _changed(patient, patient.picked(twice)) if patient.rows else None,
        {
            one.name: _changed(patient, _shortened(patient, one, max(1, min(one.length, longest or one.length) // 2)))
            for one in patient.sequences
        },
    )


def _changed(patient: "Patient", values: dict[str, Any]) -> dict[str, set[int]] | None:
    """The axes whose sizes differ from those on the example; None if the model refuses."""
    try:
        after = patient.run(values)
    except Skip:
        return None
    both = {
        path: (one.shape, after[path].shape)
        for path, one in patient.base.items()
        if path in after and after[path].ndim == one.ndim
    }
    return {path: {i for i in range(len(old)) if old[i] != new[i]} for path, (old, new) in both.items()}


def _shortened(patient: "Patient", sequence: SequenceInput, length: int) -> dict[str, Any]:
    """The inputs with the first `length` positions of `sequence` alone."""
    padding, shorter = patient.padding.get(sequence.name), {}
    for name, role in patient.roles.items():
        value = patient.inputs.values[name]
        if name == sequence.name:
            shorter[name] = value.narrow(sequence.axis, 0, length)
        elif role in ("padding", "companion", "labels") and patient.is_about(name, sequence):
            shorter[name] = value.narrow(1, 0, length)
        elif role == "lengths" and padding is not None and padding.name == name:
            shorter[name] = value.clamp(max=length)
        elif role == "pairs":
            for axis in (-2, -1):
                value = value.narrow(axis, 0, length) if value.shape[axis] == sequence.length else value
            shorter[name] = value
    return shorter
