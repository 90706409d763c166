"""What changes the example: other contents, other rows, some of its positions alone."""

from typing import Any

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput


def changed(facts: Facts, sequence: SequenceInput, where: Tensor, *, draw: int = 1) -> dict[str, Tensor]:
    """Other contents where `where` [batch, positions] is true; `draw` says which others."""
    value = facts.values[sequence.name]
    where = sequence.batch_first(where).to(value.device)
    if sequence.kind == "features":
        generator = torch.Generator().manual_seed(draw)
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)
        spread = value.std().clamp(min=1e-3)
        return {sequence.name: torch.where(where.unsqueeze(2), value + spread * noise, value)}
    ids = usual_ids(facts, sequence)
    place = torch.searchsorted(ids, value.contiguous().clamp(max=int(ids[-1])))
    other = ids[(place + draw) % len(ids)]
    other = torch.where(other == value, ids[(place + draw + 1) % len(ids)], other).to(value.dtype)
    return {sequence.name: torch.where(where, other, value)}


def one_changed(facts: Facts, sequence: SequenceInput, position: int) -> dict[str, Tensor]:
    """Other contents at one position, in all rows in which it is real."""
    where = torch.zeros(sequence.batch_size, sequence.length, dtype=torch.bool)
    where[:, position] = True
    return changed(facts, sequence, where & facts.real(sequence))


def usual_ids(facts: Facts, sequence: SequenceInput) -> Tensor:
    """Ids that stand at real positions, sorted: those are surely in the vocabulary and mean nothing special.

    Raises:
        Skip: there are fewer than two.
    """
    value, source = facts.values[sequence.name], facts.padding.get(sequence.name)
    ids = value[sequence.batch_first(facts.real(sequence)).to(value.device)].unique()
    if source is not None and source.token is not None:
        ids = ids[ids != source.token]
    if len(ids) < 2:
        raise Skip(f"{sequence.name} has fewer than two different tokens: give an example with more")
    return ids


def picked(facts: Facts, rows: Tensor) -> dict[str, Tensor]:
    """A batch made of these rows of the example."""
    taken = {}
    batch_axes = {one.name: one.batch_axis for one in facts.sequences}
    for name, role in facts.roles.items():
        value, axis = facts.values[name], batch_axes.get(name, 0)
        if role == "pairs" and value.ndim == 3 and len(value) % facts.batch_size == 0:
            heads = len(value) // facts.batch_size  # [batch * heads, q, k]
            taken[name] = value.unflatten(0, (facts.batch_size, heads))[rows].flatten(0, 1)
        elif role != "pairs" and value.ndim and value.shape[axis] == facts.batch_size:
            taken[name] = value.index_select(axis, rows.to(value.device))
    return taken


def sliced(facts: Facts, sequence: SequenceInput, begin: int, end: int, *, keys_from: int) -> dict[str, Any]:
    """The positions of `sequence` from `begin` to `end` alone, with all that is about them.

    keys_from: where masks of padding, and of pairs along the keys, begin: keys in a cache are masked too.
    """
    source, taken = facts.padding.get(sequence.name), {}
    for name, role in facts.roles.items():
        value = facts.values[name]
        if name == sequence.name:
            taken[name] = value.narrow(sequence.position_axis, begin, end - begin)
        elif role == "lengths" and source is not None and source.name == name:
            taken[name] = (value.clamp(max=end) - keys_from).clamp(min=0)
        elif role in ("companion", "labels") and facts.is_about(name, sequence):
            taken[name] = value[:, begin:end]
        elif role == "padding" and facts.is_about(name, sequence):
            taken[name] = value[:, keys_from:end]
        elif role == "pairs":
            for axis, first in ((-2, begin), (-1, keys_from)):
                value = value.narrow(axis, first, end - first) if value.shape[axis] == sequence.length else value
            taken[name] = value
    return taken


def permuted(facts: Facts, sequence: SequenceInput, order: Tensor) -> dict[str, Tensor]:
    """The contents of `sequence` in another order, [batch, positions]."""
    value = facts.values[sequence.name]
    rows = sequence.batch_first(value)
    places = torch.arange(sequence.batch_size, device=value.device).unsqueeze(1)
    return {sequence.name: sequence.batch_first(rows[places, order.to(value.device)]).contiguous()}


def all_alike(facts: Facts, sequence: SequenceInput) -> dict[str, Tensor]:
    """The same contents at all positions of all rows."""
    value = facts.values[sequence.name]
    if sequence.kind == "tokens":
        return {sequence.name: torch.full_like(value, int(usual_ids(facts, sequence)[0]))}
    return {sequence.name: value[:1, :1].expand_as(value).clone()}
