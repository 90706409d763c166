"""What changes the padding of the example: more columns of it, in all inputs with these positions; an empty row."""

from typing import Literal

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.edits import usual_ids
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.padding import padded_value, usual_real_value

Side = Literal["end", "start"]


def lengthened(facts: Facts, sequence: SequenceInput, extra: int, side: Side, *, draw: int = 0) -> dict[str, Tensor]:
    """The inputs that change when `sequence` gets `extra` positions of padding; `draw` > 0: with other contents there.

    Raises:
        Skip: it cannot be said that these positions are padding.
    """
    source = facts.padding[sequence.name]
    if side == "start" and source.form == "lengths":
        raise Skip("lengths cannot say that padding stands at the start")
    longer = {}
    for name, role in facts.roles.items():
        value = facts.values[name]
        if name == sequence.name:
            columns = _contents(facts, sequence, extra, draw)
            longer[name] = _joined(value, columns, sequence.position_axis, side)
        elif role in ("padding", "companion", "labels") and facts.is_about(name, sequence):
            if role == "companion":
                columns = (value[:, -1:] if side == "end" else value[:, :1]).expand(-1, extra)
            elif role == "labels":
                columns = value.new_full((len(value), extra), _ignored(facts, sequence, value))
            else:
                real = source.real_value if source.name in (name, None) else usual_real_value(name)
                columns = value.new_full((len(value), extra), padded_value(value, real))
            longer[name] = _joined(value, columns, 1, side)
        elif role == "pairs":
            longer[name] = _pairs(value, sequence, extra, side)
    return longer


def emptied(facts: Facts, sequence: SequenceInput, row: int) -> dict[str, Tensor]:
    """The inputs that change when one row of the sequence is all padding."""
    source, changed = facts.padding[sequence.name], {}
    if source.name is not None:
        told = facts.values[source.name].clone()
        told[row] = 0 if source.form == "lengths" else padded_value(told, source.real_value)
        changed[source.name] = told
    if source.token is not None and sequence.kind == "tokens":
        tokens = facts.values[sequence.name].clone()
        tokens.select(sequence.batch_axis, row).fill_(source.token)
        changed[sequence.name] = tokens
    return changed


def without_padding(facts: Facts) -> dict[str, Tensor]:
    """The inputs that change when every position is real; tokens of padding become usual ones."""
    changed: dict[str, Tensor] = {}
    for one in facts.sequences:
        source, real = facts.padding.get(one.name), facts.real(one)
        if source is None or real.all():
            continue
        if source.name is not None:
            told = facts.values[source.name]
            changed[source.name] = torch.full_like(told, one.length if source.form == "lengths" else source.real_value)
        if one.kind == "tokens":
            value, ids = facts.values[one.name], usual_ids(facts, one)
            drawn = ids[torch.arange(value.numel()) % len(ids)].view(value.shape).to(value)
            changed[one.name] = torch.where(one.batch_first(real).to(value.device), value, drawn)
    return changed


def _contents(facts: Facts, sequence: SequenceInput, extra: int, draw: int) -> Tensor:
    """What stands in the added columns."""
    value = facts.values[sequence.name]
    columns = value.narrow(sequence.position_axis, 0, 1).repeat_interleave(extra, sequence.position_axis)
    if sequence.kind == "features":
        noise = torch.randn(columns.shape, generator=torch.Generator().manual_seed(draw + 1)).to(columns)
        return noise * value.std() if draw else torch.zeros_like(columns)
    if draw:
        ids = usual_ids(facts, sequence)
        return ids[(torch.arange(columns.numel()) + draw) % len(ids)].view(columns.shape).to(value.dtype)
    return torch.full_like(columns, _token(facts, sequence))


def _token(facts: Facts, sequence: SequenceInput) -> int:
    """The id at padding: as declared, or what stands there in the example, or 0."""
    declared = facts.padding[sequence.name].token
    if declared is not None:
        return declared
    there = sequence.batch_first(facts.values[sequence.name])[~facts.real(sequence)]
    return int(there.mode().values) if there.numel() else 0


def _ignored(facts: Facts, sequence: SequenceInput, labels: Tensor) -> int:
    """The label at padding: what stands there in the example, or what losses of torch ignore."""
    aligned = labels.shape == (sequence.batch_size, sequence.length)
    there = labels[~facts.real(sequence)] if aligned else labels[:0]
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


def _joined(value: Tensor, columns: Tensor, axis: int, side: Side) -> Tensor:
    return torch.cat([value, columns] if side == "end" else [columns, value], dim=axis)
