"""The five masks that others are made of; the functions of `mask` make them."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from attentio.attention.mask_base import Device, KeyRanges, Mask, Pairs

_SHOWN_LENGTHS = 16


@dataclass(frozen=True, eq=False, repr=False)
class Causal(Mask):
    align: Literal["end", "start"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return at.j <= (at.i + at.shift if self.align == "end" else at.i)

    def is_stationary(self) -> bool:
        return True

    def key_ranges(self, first: Tensor, last: Tensor, q_len: int, k_len: int) -> KeyRanges:
        stop = last + 1 + (k_len - q_len if self.align == "end" else 0)
        return KeyRanges.within(torch.zeros_like(stop)[None], stop[None], k_len)

    def expression(self) -> str:
        return f"causal(align={self.align!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Window(Mask):
    before: int
    after: int

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        away = at.j - (at.i + at.shift)
        return (away >= -self.before) & (away <= self.after)

    def is_stationary(self) -> bool:
        return True

    def key_ranges(self, first: Tensor, last: Tensor, q_len: int, k_len: int) -> KeyRanges:
        shift = k_len - q_len
        start, stop = first + shift - self.before, last + shift + self.after + 1
        return KeyRanges.within(start[None], stop[None], k_len)

    def expression(self) -> str:
        return f"window(before={self.before}, after={self.after})"


@dataclass(frozen=True, eq=False, repr=False)
class Padding(Mask):
    lengths: Int[Tensor, "batch"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return at.j < self.lengths.to(at.j.device)[at.b]

    def part(self, queries: slice, keys: slice, shift: int, device: Device = None) -> Bool[Tensor, "batch 1 _"]:
        lengths = self.lengths.to(device)
        return torch.arange(keys.start, keys.stop, device=lengths.device) < lengths[:, None, None]

    def natural_size(self) -> tuple[int | None, int | None]:
        return None, int(self.lengths.max()) or None

    def sequences_and_heads(self) -> tuple[int, int]:
        return self.lengths.shape[0], 1

    def of_sequence(self, b: int) -> Mask:
        return Padding(_of_sequence(self.lengths, b))

    def key_ranges(self, first: Tensor, last: Tensor, q_len: int, k_len: int) -> KeyRanges:
        stop = self.lengths.to("cpu", torch.long)[:, None].expand(-1, len(first))
        return KeyRanges.within(torch.zeros_like(stop), stop, k_len)

    def expression(self) -> str:
        more = f" and {len(self.lengths) - _SHOWN_LENGTHS:,} more" if len(self.lengths) > _SHOWN_LENGTHS else ""
        return f"padding({self.lengths[:_SHOWN_LENGTHS].tolist()}{more})"


@dataclass(frozen=True, eq=False, repr=False)
class Segments(Mask):
    query_ids: Int[Tensor, "batch q"]
    key_ids: Int[Tensor, "batch k"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return self.query_ids.to(at.i.device)[at.b, at.i] == self.key_ids.to(at.j.device)[at.b, at.j]

    def part(self, queries: slice, keys: slice, shift: int, device: Device = None) -> Bool[Tensor, "batch _ _"]:
        q_ids, k_ids = self.query_ids[:, queries.start : queries.stop], self.key_ids[:, keys.start : keys.stop]
        return q_ids.to(device)[:, :, None] == k_ids.to(device)[:, None, :]

    def require_fit(self, q_len: int, k_len: int) -> None:
        for name, ids, needed in (("query_ids", self.query_ids, q_len), ("key_ids", self.key_ids, k_len)):
            if ids.shape[1] != needed:
                raise ValueError(f"{name} must hold {needed} positions, got shape {list(ids.shape)}")

    def natural_size(self) -> tuple[int | None, int | None]:
        return self.query_ids.shape[1], self.key_ids.shape[1]

    def sequences_and_heads(self) -> tuple[int, int]:
        return self.query_ids.shape[0], 1

    def of_sequence(self, b: int) -> Mask:
        return Segments(_of_sequence(self.query_ids, b), _of_sequence(self.key_ids, b))

    def key_ranges(self, first: Tensor, last: Tensor, q_len: int, k_len: int) -> KeyRanges:
        """From the first to the last key whose id occurs among the block's queries."""
        queries, keys = self.query_ids.cpu().contiguous(), self.key_ids.cpu()
        ids, places = keys.sort(dim=1, stable=True)
        low, high = (torch.searchsorted(ids, queries, right=right) for right in (False, True))
        absent = low == high
        start = places.gather(1, low.clamp(max=k_len - 1)).masked_fill(absent, k_len)
        stop = (places.gather(1, (high - 1).clamp(min=0)) + 1).masked_fill(absent, 0)
        blocks = _slices(first, last)
        return KeyRanges(
            torch.stack([start[:, block].amin(1) for block in blocks], 1),
            torch.stack([stop[:, block].amax(1) for block in blocks], 1),
        )

    def expression(self) -> str:
        return f"segments(query_ids{list(self.query_ids.shape)}, key_ids{list(self.key_ids.shape)})"


@dataclass(frozen=True, eq=False, repr=False)
class Keep(Mask):
    allowed: Bool[Tensor, "... q k"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        axes = {2: (at.i, at.j), 3: (at.b, at.i, at.j), 4: (at.b, at.h, at.i, at.j)}[self.allowed.ndim]
        index = [0 * at_axis if n == 1 else at_axis for at_axis, n in zip(axes, self.allowed.shape, strict=True)]
        return self.allowed.to(at.j.device)[tuple(index)]

    def part(self, queries: slice, keys: slice, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        part = self.allowed
        for axis, places in ((-2, queries), (-1, keys)):
            length = places.stop - places.start
            if part.shape[axis] not in (1, length):
                part = part.narrow(axis, places.start, length)
        return part if device is None else part.to(device)

    def require_fit(self, q_len: int, k_len: int) -> None:
        q_have, k_have = self.allowed.shape[-2:]
        if q_have not in (1, q_len) or k_have not in (1, k_len):
            raise ValueError(
                f"keep(tensor) must broadcast to {q_len} queries and {k_len} keys in its last two axes, "
                f"got {list(self.allowed.shape)}"
            )

    def natural_size(self) -> tuple[int | None, int | None]:
        q_have, k_have = self.allowed.shape[-2:]
        return None if q_have == 1 else q_have, None if k_have == 1 else k_have

    def sequences_and_heads(self) -> tuple[int, int]:
        lead = self.allowed.shape[:-2]
        return lead[0] if lead else 1, lead[1] if len(lead) == 2 else 1

    def of_sequence(self, b: int) -> Mask:
        return self if self.allowed.ndim == 2 else Keep(_of_sequence(self.allowed, b))

    def key_ranges(self, first: Tensor, last: Tensor, q_len: int, k_len: int) -> KeyRanges:
        """From the first to the last True of any query of the block, in any head."""
        numbers = self.allowed.cpu().view(torch.uint8)  # torch finds the largest number 25 times faster than any True
        numbers = numbers.amax(1) if numbers.ndim == 4 else numbers
        numbers = numbers[None] if numbers.ndim == 2 else numbers
        if numbers.shape[1] > 1:
            numbers = torch.stack([numbers[:, block].amax(1) for block in _slices(first, last)], 1)
        some = numbers.bool().expand(-1, len(first), k_len)
        keys = torch.arange(k_len)
        return KeyRanges(torch.where(some, keys, k_len).amin(2), torch.where(some, keys + 1, 0).amax(2))

    def expression(self) -> str:
        names = ("batch", "heads", "q", "k")
        kept = names[: self.allowed.ndim - 2] + names[2:]
        return f"keep([{', '.join(f'{name} {n}' for name, n in zip(kept, self.allowed.shape, strict=True))}])"


def _of_sequence(tensor: Tensor, b: int) -> Tensor:
    """The row of sequence `b`, or the only one, which holds for all."""
    return tensor[b : b + 1] if tensor.shape[0] > 1 else tensor


def _slices(first: Tensor, last: Tensor) -> list[slice]:
    return [slice(f, t + 1) for f, t in zip(first.tolist(), last.tolist(), strict=True)]
