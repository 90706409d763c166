"""The example with more padding: columns added at the end or at the start, to every input that has these positions."""

from typing import Literal

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Skip
from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.outputs import Output, difference
from attentio.inspection.doctor.patient import Patient

Side = Literal["end", "start"]


def lengthened(
    patient: Patient, sequence: SequenceInput, extra: int, side: Side, *, draw: int = 0
) -> dict[str, Tensor]:
    """The inputs that change when `sequence` gets `extra` positions of padding; `draw` > 0: with other contents there.

    Raises:
        Skip: it cannot be said that these positions are padding.
    """
    padding = patient.padding[sequence.name]
    if side == "start" and padding.form == "lengths":
        raise Skip("lengths cannot say that padding stands at the start")
    values, changed = patient.inputs.values, {}
    for name, role in patient.roles.items():
        value = values[name]
        if name == sequence.name:
            changed[name] = _sequence(patient, sequence, extra, side, draw)
        elif role in ("padding", "companion", "labels") and patient.is_about(name, sequence):
            if role == "padding":
                real = padding.real_value if name == padding.name or padding.name is None else _real(name)
                columns = torch.full_like(value[:, :1], 0).expand(-1, extra) + (1 - int(real))
            elif role == "labels":
                columns = value.new_full((len(value), extra), _ignored(patient, sequence, value))
            else:
                columns = (value[:, -1:] if side == "end" else value[:, :1]).expand(-1, extra)
            changed[name] = _joined(value, columns.to(value.dtype), 1, side)
        elif role == "pairs":
            changed[name] = _pairs(value, sequence, extra, side)
    return changed


def compared(
    patient: Patient, before: dict[str, Tensor], after: dict[str, Tensor], sequence: SequenceInput, shift: int = 0
) -> dict[Output, Tensor]:
    """How far real positions [batch, positions], or rows [batch], differ; `after` has `shift` more at the start.

    Outputs whose features have other sizes are left out.
    """
    found = {}
    for output in patient.outputs:
        old, new = before[output.path], after.get(output.path)
        if new is None or new.ndim != old.ndim:
            continue
        old, new = output.rows(old), output.rows(new)
        if output.sequence is not None:
            new = new[:, shift:] if output.sequence == sequence.name else new
            shared = min(old.shape[1], new.shape[1])
            old, new = old[:, :shared], new[:, :shared]
        if old.shape != new.shape:
            continue
        apart = difference(old, new).cpu()
        if output.sequence is not None:
            real = patient.real(patient.sequence(output.sequence))[:, : apart.shape[1]]
            apart = apart.masked_fill(~real, 0.0)
        found[output] = apart
    return found


def with_positions(apart: dict[Output, Tensor]) -> dict[Output, Tensor]:
    """Without outputs of whole rows: what pools the first position reads padding that stands there, by its nature."""
    return {output: tensor for output, tensor in apart.items() if output.sequence is not None}


def largest(apart: dict[Output, Tensor]) -> tuple[float, str]:
    """The largest of these differences, and where it is, in words."""
    best, said = 0.0, ""
    for output, tensor in apart.items():
        if tensor.numel() and float(tensor.max()) > best:
            best = float(tensor.max())
            place = (tensor == tensor.max()).nonzero()[0].tolist()
            said = f"{output.title}, row {place[0]}" + (f", position {place[1]}" if len(place) > 1 else "")
    return best, said


def _sequence(patient: Patient, sequence: SequenceInput, extra: int, side: Side, draw: int) -> Tensor:
    value, padding = patient.inputs.values[sequence.name], patient.padding[sequence.name]
    columns = value.narrow(sequence.axis, 0, 1).repeat_interleave(extra, sequence.axis)
    if sequence.kind == "features":
        noise = torch.randn(columns.shape, generator=torch.Generator().manual_seed(draw + 1)).to(columns)
        columns = noise * value.std() if draw else torch.zeros_like(columns)
    elif draw:
        ids = patient.usual_ids(sequence)
        columns = ids[(torch.arange(columns.numel()) + draw) % len(ids)].view(columns.shape).to(value.dtype)
    else:
        columns = torch.full_like(columns, padding_token(patient, sequence, padding.token))
    return _joined(value, columns, sequence.axis, side)


def padding_token(patient: Patient, sequence: SequenceInput, declared: int | None) -> int:
    """The id at padding: as declared, or what stands there in the example, or 0."""
    if declared is not None:
        return declared
    value = patient.inputs.values[sequence.name]
    there = (value.T if sequence.batch == 1 else value)[~patient.real(sequence)]
    return int(there.mode().values) if there.numel() else 0


def _ignored(patient: Patient, sequence: SequenceInput, labels: Tensor) -> int:
    there = labels[~patient.real(sequence)] if labels.shape == (sequence.rows, sequence.length) else labels[:0]
    return int(there.mode().values) if there.numel() else -100


def _pairs(mask: Tensor, sequence: SequenceInput, extra: int, side: Side) -> Tensor:
    """A mask of pairs goes on as it is along its diagonals, so that causal masks and windows stay what they are."""
    for axis in (-2, -1):
        if mask.shape[axis] != sequence.length:
            continue
        if mask.shape[-1] == mask.shape[-2]:
            if side == "start" and sequence.length < 2:
                raise Skip("a mask of pairs that is too small to be continued")
            n = sequence.length
            q = torch.arange(n + extra).unsqueeze(1)
            offset = (torch.arange(n + extra) - q).clamp(1 - n, n - 1)
            return mask[..., (-offset).clamp(min=0), offset.clamp(min=0)]
        mask = _joined(mask, mask.narrow(axis, 0, 1).repeat_interleave(extra, axis), axis, side)
    return mask


def _real(name: str) -> int:
    return 0 if "key_padding" in name else 1


def _joined(value: Tensor, columns: Tensor, axis: int, side: Side) -> Tensor:
    return torch.cat([value, columns] if side == "end" else [columns, value], dim=axis)
