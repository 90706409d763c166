"""What self-attention remembers of earlier tokens when decoding one token at a time.

Every token that any hypothesis has produced takes one *slot*. Hypotheses of a sentence do not have slots of their
own: they are queries over common keys, and a mask says which slots are a hypothesis's past. So a search that
drops, doubles and reorders hypotheses moves rows of that mask, and never keys or values.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attentio.attention.transforms import writing_onnx

_FIRST_CAPACITY = 32


class _Buffer:
    """Room for more slots than are filled. `filled` belongs to the newest memory that was built in it."""

    def __init__(self, keys: Tensor, values: Tensor, filled: int) -> None:
        self.keys, self.values, self.filled = keys, values, filled


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of one layer: the first `length` slots of a buffer with room for more.

    Appending fills free room in place and copies only when the room is used up, by then twice as much; n tokens
    cost O(n) copies. A cache itself never changes: appending to an old one, whose following slots have been
    filled since, copies.
    """

    buffer: _Buffer
    length: int

    @classmethod
    def empty(cls, batch: int, heads: int, key_features: int, value_features: int, like: Tensor) -> "KeyValueCache":
        """No slot filled yet; on the device of `like`, and in its dtype unless the first keys have another."""
        keys = like.new_empty(batch, heads, _FIRST_CAPACITY, key_features)
        return cls(_Buffer(keys, like.new_empty(batch, heads, _FIRST_CAPACITY, value_features), 0), 0)

    @classmethod
    def of(
        cls, keys: Float[Tensor, "batch heads slots d"], values: Float[Tensor, "batch heads slots dv"]
    ) -> "KeyValueCache":
        """What these slots hold."""
        return cls(_Buffer(keys, values, keys.shape[2]), keys.shape[2])

    @property
    def keys(self) -> Float[Tensor, "batch heads slots d"]:
        return self.buffer.keys[:, :, : self.length]

    @property
    def values(self) -> Float[Tensor, "batch heads slots dv"]:
        return self.buffer.values[:, :, : self.length]

    def append(
        self, keys: Float[Tensor, "batch heads new d"], values: Float[Tensor, "batch heads new dv"]
    ) -> "KeyValueCache":
        """The cache with new slots behind the old ones."""
        if keys.dtype != self.buffer.keys.dtype:  # under autocast projections have another than their inputs
            buffer = _Buffer(self.keys.to(keys.dtype), self.values.to(values.dtype), self.length)
            return KeyValueCache(buffer, self.length).append(keys, values)
        if writing_onnx() or (torch.is_grad_enabled() and (keys.requires_grad or self.buffer.keys.requires_grad)):
            # A gradient needs every cache as it was, and an exported step has nothing but what it is given.
            kept = torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)
            return KeyValueCache.of(*kept)
        longer = self.extend(keys.shape[2])
        longer.keys[:, :, self.length :] = keys
        longer.values[:, :, self.length :] = values
        return longer

    def extend(self, count: int) -> "KeyValueCache":
        """The cache with new slots behind the old ones, which are still to be filled."""
        buffer, length = self.buffer, self.length + count
        if length > buffer.keys.shape[2] or buffer.filled != self.length:
            capacity = max(2 * length, _FIRST_CAPACITY)
            buffer = _Buffer(_roomy(self.keys, capacity), _roomy(self.values, capacity), self.length)
        buffer.filled = length
        return KeyValueCache(buffer, length)

    def keep(self, rows: Int[Tensor, "kept"]) -> "KeyValueCache":
        """Only the sentences numbered in `rows`."""
        return KeyValueCache(_Buffer(self.keys[rows], self.values[rows], self.length), self.length)


def _roomy(old: Tensor, capacity: int) -> Tensor:
    new = old.new_empty(*old.shape[:2], capacity, old.shape[3])
    new[:, :, : old.shape[2]] = old
    return new


@dataclass(frozen=True)
class Slots:
    """Which slot is whose, for all layers at once.

    positions: of the token in each slot, the same for all sentences and hypotheses.
    visible: whether a slot is in a hypothesis's past; None as long as all slots are in everybody's.
    position: that of the next token.
    """

    positions: Int[Tensor, "slots"]
    visible: Bool[Tensor, "batch beam slots"] | None
    position: int

    @classmethod
    def read(cls, count: int, device: torch.device) -> "Slots":
        """The slots of a prompt of `count` tokens, which all hypotheses share."""
        return cls(torch.arange(count, device=device), None, count)

    def append(self, batch: int, beam: int) -> "Slots":
        """A new slot for each hypothesis, seen by itself only."""
        positions = torch.cat([self.positions, self.positions.new_full((beam,), self.position)])
        visible = self.visible
        if visible is None and beam > 1:
            visible = torch.ones(batch, beam, len(self.positions), dtype=torch.bool, device=positions.device)
        if visible is not None:
            new = torch.eye(beam, dtype=torch.bool, device=positions.device).expand(batch, beam, beam)
            visible = torch.cat([visible, new], dim=2)
        return Slots(positions, visible, self.position + 1)

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "Slots":
        """Hypothesis j of sentence i goes on from what was hypothesis parents[i, j]."""
        if self.visible is None:  # there was one hypothesis a sentence; what it has read is everybody's past
            return self
        return replace(self, visible=self.visible.take_along_dim(parents.unsqueeze(2), dim=1))

    def keep(self, rows: Int[Tensor, "kept"]) -> "Slots":
        """Only the sentences numbered in `rows`."""
        return self if self.visible is None else replace(self, visible=self.visible[rows])
