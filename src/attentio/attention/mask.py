"""Masks: who may attend to whom. True = may attend, everywhere.

A mask is an expression, not yet a tensor: `causal() & padding(lengths)` is written once and fits any number of queries
and keys. Where they differ in number, the last query stands at the last key: query i is at key position i + k - q.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from attentio.attention.mask_picture import draw

Device = torch.device | str | None


class Pairs(NamedTuple):
    """Query `i` and key `j` of head `h` in sequence `b`, index tensors that broadcast together; shift is k - q."""

    b: Tensor
    h: Tensor
    i: Tensor
    j: Tensor
    shift: int


@dataclass(frozen=True, eq=False)
class Mask:
    """Who may attend to whom. Made by the functions below, combined with `&`, `|` and `~`; `str` draws it."""

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        """The rule itself, for any pairs of a query and a key."""
        raise NotImplementedError

    def materialize(self, q_len: int, k_len: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        """The mask for this many queries and keys: a tensor that broadcasts to [q, k], [batch, q, k] or
        [batch, heads, q, k]; a mask of three axes says nothing of heads. `device` None: where the mask's own
        tensors are, or torch's default.

        Raises:
            ValueError: a tensor inside the mask was made for another number of queries or keys.
        """
        self.require_fit(q_len, k_len)
        return self.part(range(q_len), range(k_len), k_len - q_len, device)

    def part(self, queries: range, keys: range, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        """materialize(q, k)[..., queries, keys], where k - q = shift, without making the rest of it."""
        i = torch.arange(queries.start, queries.stop, device=device)[:, None]
        j = torch.arange(keys.start, keys.stop, device=device)
        return self.allows(Pairs(i, i, i, j, shift))

    def require_fit(self, q_len: int, k_len: int) -> None:
        """Raises ValueError where a tensor inside the mask was made for another number of queries or keys."""

    def natural_size(self) -> tuple[int | None, int | None]:
        """How many queries and keys the mask was made for, where it says so."""
        return None, None

    def __and__(self, other: "Mask") -> "Mask":
        return Combined(self, "&", _require_mask(other))

    def __or__(self, other: "Mask") -> "Mask":
        return Combined(self, "|", _require_mask(other))

    def __invert__(self) -> "Mask":
        return Not(self)

    def __str__(self) -> str:
        return draw(self)


@dataclass(frozen=True, eq=False)
class Causal(Mask):
    align: Literal["end", "start"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return at.j <= (at.i + at.shift if self.align == "end" else at.i)

    def __repr__(self) -> str:
        return f"causal(align={self.align!r})"


@dataclass(frozen=True, eq=False)
class Window(Mask):
    before: int
    after: int

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        away = at.j - (at.i + at.shift)
        return (away >= -self.before) & (away <= self.after)

    def __repr__(self) -> str:
        return f"window(before={self.before}, after={self.after})"


@dataclass(frozen=True, eq=False)
class Padding(Mask):
    lengths: Int[Tensor, "batch"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return at.j < self.lengths.to(at.j.device)[at.b]

    def part(self, queries: range, keys: range, shift: int, device: Device = None) -> Bool[Tensor, "batch 1 _"]:
        lengths = self.lengths.to(device)
        return torch.arange(keys.start, keys.stop, device=lengths.device) < lengths[:, None, None]

    def natural_size(self) -> tuple[int | None, int | None]:
        return None, int(self.lengths.max())

    def __repr__(self) -> str:
        return f"padding({self.lengths.tolist()})"


@dataclass(frozen=True, eq=False)
class Segments(Mask):
    query_ids: Int[Tensor, "batch q"]
    key_ids: Int[Tensor, "batch k"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return self.query_ids.to(at.i.device)[at.b, at.i] == self.key_ids.to(at.j.device)[at.b, at.j]

    def part(self, queries: range, keys: range, shift: int, device: Device = None) -> Bool[Tensor, "batch _ _"]:
        q_ids, k_ids = self.query_ids[:, queries.start : queries.stop], self.key_ids[:, keys.start : keys.stop]
        return q_ids.to(device)[:, :, None] == k_ids.to(device)[:, None, :]

    def require_fit(self, q_len: int, k_len: int) -> None:
        for name, ids, needed in (("query_ids", self.query_ids, q_len), ("key_ids", self.key_ids, k_len)):
            if ids.shape[1] != needed:
                raise ValueError(f"{name} must hold {needed} positions, got shape {list(ids.shape)}")

    def natural_size(self) -> tuple[int | None, int | None]:
        return self.query_ids.shape[1], self.key_ids.shape[1]

    def __repr__(self) -> str:
        return f"segments(query_ids{list(self.query_ids.shape)}, key_ids{list(self.key_ids.shape)})"


@dataclass(frozen=True, eq=False)
class Keep(Mask):
    allowed: Bool[Tensor, "... q k"]

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        axes = {2: (at.i, at.j), 3: (at.b, at.i, at.j), 4: (at.b, at.h, at.i, at.j)}[self.allowed.ndim]
        index = [0 * at_axis if n == 1 else at_axis for at_axis, n in zip(axes, self.allowed.shape, strict=True)]
        return self.allowed.to(at.j.device)[tuple(index)]

    def part(self, queries: range, keys: range, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        part = self.allowed
        for axis, places in ((-2, queries), (-1, keys)):
            if part.shape[axis] not in (1, len(places)):
                part = part.narrow(axis, places.start, len(places))
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

    def __repr__(self) -> str:
        return f"keep({list(self.allowed.shape)})"


@dataclass(frozen=True, eq=False)
class Combined(Mask):
    left: Mask
    operator: Literal["&", "|"]
    right: Mask

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        left, right = self.left.allows(at), self.right.allows(at)
        return left & right if self.operator == "&" else left | right

    def part(self, queries: range, keys: range, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        left, right = (mask.part(queries, keys, shift, device) for mask in (self.left, self.right))
        if {left.ndim, right.ndim} == {3, 4}:
            left, right = with_heads(left), with_heads(right)
        return left & right if self.operator == "&" else left | right

    def require_fit(self, q_len: int, k_len: int) -> None:
        self.left.require_fit(q_len, k_len)
        self.right.require_fit(q_len, k_len)

    def natural_size(self) -> tuple[int | None, int | None]:
        (left_q, left_k), (right_q, right_k) = self.left.natural_size(), self.right.natural_size()
        return left_q or right_q, left_k or right_k

    def __repr__(self) -> str:
        return f"({self.left!r} {self.operator} {self.right!r})"


@dataclass(frozen=True, eq=False)
class Not(Mask):
    inner: Mask

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return ~self.inner.allows(at)

    def part(self, queries: range, keys: range, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        return ~self.inner.part(queries, keys, shift, device)

    def require_fit(self, q_len: int, k_len: int) -> None:
        self.inner.require_fit(q_len, k_len)

    def natural_size(self) -> tuple[int | None, int | None]:
        return self.inner.natural_size()

    def __repr__(self) -> str:
        return f"~{self.inner!r}"


def causal(*, align: Literal["end", "start"] = "end") -> Mask:
    """No query sees a later key.

    Args:
        align: which positions coincide when there are fewer or more queries than keys. "end": the last query
            is at the last key (new tokens after a cache). "start": query 0 is at key 0 (torch's `is_causal`).
    """
    if align not in ("end", "start"):
        raise ValueError(f'align must be "end" or "start", got {align!r}')
    return Causal(align)


def padding(lengths: Int[Tensor, "batch"]) -> Mask:
    """Only the first lengths[b] keys of sequence b are real; the others get no attention from any query."""
    if lengths.ndim != 1 or lengths.dtype == torch.bool or lengths.is_floating_point():
        raise ValueError(
            f"lengths must be whole numbers, one a sequence, got {lengths.dtype} {list(lengths.shape)}; "
            "a tensor that already marks each key goes through keep(tensor[:, None, :])"
        )
    return Padding(lengths)


def window(before: int, after: int) -> Mask:
    """A query at position p sees the keys p - before to p + after, both included: before + 1 + after tokens.

    `window(D, D)` is Luong's window of 2D + 1. With fewer queries than keys the last query is at the last
    key, as in `causal()`.

    Reference: Luong et al. 2015, section 3.2.
    """
    if before < 0 or after < 0:
        raise ValueError(f"before and after count tokens and cannot be negative, got {before} and {after}")
    return Window(before, after)


def segments(query_ids: Int[Tensor, "batch q"], key_ids: Int[Tensor, "batch k"]) -> Mask:
    """A query sees the keys with its own id: several sequences packed in one row stay apart."""
    for name, ids in (("query_ids", query_ids), ("key_ids", key_ids)):
        if ids.ndim != 2 or ids.is_floating_point():
            raise ValueError(f"{name} must be whole numbers [batch, positions], got {ids.dtype} {list(ids.shape)}")
    if query_ids.shape[0] != key_ids.shape[0]:
        raise ValueError(
            f"query_ids and key_ids must have one batch size, got {query_ids.shape[0]} and {key_ids.shape[0]}"
        )
    return Segments(query_ids, key_ids)


def keep(allowed: Bool[Tensor, "... q k"]) -> Mask:
    """A mask given as a tensor. True = may attend.

    Args:
        allowed: bool, [q, k], [batch, q, k] or [batch, heads, q, k]; an axis of size 1 holds for all.

    Raises:
        ValueError: the tensor is not bool (0/1 numbers and additive masks read the other way round too
            easily).
    """
    if allowed.dtype != torch.bool:
        raise ValueError(
            f"keep needs a bool tensor in which True = may attend, got {allowed.dtype}; "
            "write keep(t == 1) if 1 means may attend, keep(t == 0) if 1 means masked "
            "or if the numbers are to be added to the scores (0 or -inf)"
        )
    if not 2 <= allowed.ndim <= 4:
        raise ValueError(f"keep needs [q, k], [batch, q, k] or [batch, heads, q, k], got {list(allowed.shape)}")
    return Keep(allowed)


def with_heads(allowed: Bool[Tensor, "... q k"]) -> Bool[Tensor, "... q k"]:
    """[batch, q, k] as [batch, 1, q, k]; a mask of two or four axes is as it should be."""
    return allowed.unsqueeze(1) if allowed.ndim == 3 else allowed


def _require_mask(other: object) -> Mask:
    if isinstance(other, Mask):
        return other
    raise ValueError(
        f"a mask combines with another mask, got a bare {type(other).__name__}; "
        "write keep(t) for a bool tensor in which True = may attend"
    )
