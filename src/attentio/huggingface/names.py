"""Which tensor of ours is which of theirs, and the tensors carried over either way."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attentio.errors import AttentioError

Tensors = dict[str, Tensor]

_CONSTANTS = (".attn.bias", ".attn.masked_bias")
"""The causal mask, which old versions kept among GPT-2's weights."""


class Entry(NamedTuple):
    """One of our tensors, and those of theirs that, one below the other, make it up.

    transposed: theirs stand [inputs, outputs] and side by side, as GPT-2's.
    """

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False


def layer(ours: str, *theirs: str, transposed: bool = False) -> Iterator[Entry]:
    """Weight and bias of one layer or norm."""
    yield Entry(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), transposed)
    yield Entry(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs))


def to_theirs(model: nn.Module, entries: list[Entry]) -> Tensors:
    """Our model's tensors under their names, copied, so that none share their memory."""
    state, found = model.state_dict(), {}
    for ours, theirs, transposed in entries:
        for name, part in zip(theirs, state[ours].chunk(len(theirs)), strict=True):
            found[name] = (part.T if transposed else part).contiguous().clone()
    return found


def load_theirs(
    model: nn.Module, tensors: Mapping[str, Tensor], entries: list[Entry], *, blocks: str | tuple[str, ...], source: str
) -> None:
    """Fill our model with their tensors.

    blocks: what the names of their blocks begin with; heads for other tasks, elsewhere, are passed over.
    source: the file, for the messages.

    Raises:
        AttentioError: a tensor is missing, does not have the shape that the configuration asks for, or belongs to a
            block in which ours has nothing like it.
    """
    wanted = model.state_dict()
    known = {name for entry in entries for name in entry.theirs}
    for name in tensors:
        if name.startswith(blocks) and name not in known and not name.endswith(_CONSTANTS):
            raise AttentioError(f"{source} has a tensor {name} that config.json says nothing of; copy both again")
    state = {}
    for ours, theirs, transposed in entries:
        shape = list(wanted[ours].shape)
        shape[0] //= len(theirs)
        parts = [_take(tensors, name, shape[::-1] if transposed else shape, source) for name in theirs]
        state[ours] = torch.cat([part.T for part in parts] if transposed else parts)
    model.load_state_dict(state)


def _take(tensors: Mapping[str, Tensor], name: str, shape: list[int], source: str) -> Tensor:
    if name not in tensors:
        raise AttentioError(f"{source} has no tensor {name}; give a model with all its parts")
    if list(tensors[name].shape) != shape:
        raise AttentioError(
            f"{source}: tensor {name} is {list(tensors[name].shape)}, but config.json asks for {shape}; "
            f"copy both from the same model"
        )
    return tensors[name]
