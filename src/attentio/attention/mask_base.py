"""What every mask can say, and how masks combine.

A mask is an expression, not yet a tensor: `causal() & padding(lengths)` is written once and fits any number of queries
and keys. Where they differ in number, the last query stands at the last key: query i is at key position i + k - q.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from attentio.attention.mask_picture import SHOWN_POSITIONS, draw
from attentio.notebook import POSITIONS, frame, grids, line

Device = torch.device | str | None

_DRAWN_POSITIONS = 6
"""Queries and keys in the picture of a mask that fits any number of them."""

_UNFIT = (ValueError, RuntimeError, IndexError)
"""What the picture of a mask raises whose tensors do not fit one another."""


class Pairs(NamedTuple):
    """Query `i` and key `j` of head `h` in sequence `b`, index tensors that broadcast together; shift is k - q."""

    b: Tensor
    h: Tensor
    i: Tensor
    j: Tensor
    shift: int


class KeyRanges(NamedTuple):
    """Queries attend to no key outside start <= j < stop: one range for each block of queries, and for each sequence of
    the batch (one for all where they agree). Nowhere at all: start = k, stop = 0. Both on the CPU."""

    start: Int[Tensor, "#batch blocks"]
    stop: Int[Tensor, "#batch blocks"]

    @classmethod
    def within(cls, start: Tensor, stop: Tensor, k_len: int) -> "KeyRanges":
        """The keys start <= j < stop that there are."""
        start, stop = start.clamp(min=0), stop.clamp(max=k_len)
        nowhere = start >= stop
        return cls(start.masked_fill(nowhere, k_len), stop.masked_fill(nowhere, 0))


@dataclass(frozen=True, eq=False, repr=False)
class Mask:
    """Who may attend to whom. Made by the functions of `mask`, combined with `&`, `|` and `~`; it draws itself.

    >>> mask = ~at.window(1, 1) | at.padding([1, 2])
    >>> mask
    (~window(before=1, after=1) | padding([1, 2])): 2 queries (down), 2 keys (across), ■ = may attend
    sequence 0
    ■ ·
    ■ ·
    sequence 1
    ■ ■
    ■ ■
    >>> mask.materialize(3, 3)[0].int().tolist()
    [[1, 0, 1], [1, 0, 0], [1, 0, 0]]
    >>> mask.natural_size(), mask.sequences_and_heads(), mask.is_stationary()
    ((None, 2), (2, 1), False)
    >>> mask.of_sequence(1).expression()
    '(~window(before=1, after=1) | padding([2]))'

    Engines ask for a part, for single pairs, and for where blocks of queries find their keys:

    >>> at.window(1, 1).part(slice(4, 5), slice(2, 6), 0).tolist()
    [[False, True, True, True]]
    >>> from attentio.attention.mask_base import Pairs
    >>> b = h = torch.tensor(0)
    >>> at.causal().allows(Pairs(b, h, torch.tensor(2), torch.arange(4), shift=0)).tolist()
    [True, True, True, False]
    >>> at.window(1, 1).key_ranges(torch.tensor([0, 4]), torch.tensor([3, 7]), 8, 8)
    KeyRanges(start=tensor([[0, 3]]), stop=tensor([[5, 8]]))
    >>> at.keep(torch.ones(2, 2, dtype=torch.bool)).require_fit(2, 2)
    """

    def expression(self) -> str:
        """The mask as it is written."""
        raise NotImplementedError

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
        device = _place(self) if device is None else device
        return self.part(slice(0, q_len), slice(0, k_len), k_len - q_len, device)

    def part(self, queries: slice, keys: slice, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        """materialize(q, k)[..., queries, keys], where k - q = shift, without making the rest of it.

        Slices, since a range cannot hold the unknown lengths of a model that is compiled or exported.
        """
        i = torch.arange(queries.start, queries.stop, device=device)[:, None]
        j = torch.arange(keys.start, keys.stop, device=device)
        return self.allows(Pairs(i, i, i, j, shift))

    def require_fit(self, q_len: int, k_len: int) -> None:
        """Raises ValueError where a tensor inside the mask was made for another number of queries or keys."""

    def natural_size(self) -> tuple[int | None, int | None]:
        """How many queries and keys the mask was made for, where it says so."""
        return None, None

    def sequences_and_heads(self) -> tuple[int, int]:
        """For how many sequences and heads the mask says something of its own; 1 where it holds for all."""
        return 1, 1

    def of_sequence(self, b: int) -> "Mask":
        """The mask of sequence `b` alone, as that of a batch of one."""
        return self

    def is_stationary(self) -> bool:
        """Whether the distance of key and query alone decides, so that the mask repeats along its diagonal."""
        return False

    def key_ranges(
        self, first: Int[Tensor, "blocks"], last: Int[Tensor, "blocks"], q_len: int, k_len: int
    ) -> KeyRanges:
        """Where each block of queries first <= i <= last finds its keys, of `q_len` queries that meet `k_len` keys;
        there is at least one of each.

        The ranges are the smallest ones for every mask made by a function of `mask`, and may be larger for a
        combination of them; of `~` nothing is known.
        """
        return KeyRanges(torch.zeros_like(first)[None], torch.full_like(first, k_len)[None])

    def __and__(self, other: "Mask") -> "Mask":
        return Combined(self, "&", _require_mask(other))

    def __or__(self, other: "Mask") -> "Mask":
        return Combined(self, "|", _require_mask(other))

    def __invert__(self) -> "Mask":
        return Not(self)

    def __bool__(self) -> bool:
        """`and`, `or` and `not` cannot be given a meaning: they would take one of the masks and forget the other.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "a mask is neither true nor false: combine masks with & for `and`, | for `or`, ~ for `not`, "
            "and ask `mask is not None` whether there is one"
        )

    def __repr__(self) -> str:
        try:
            return draw(self.expression(), *self._corner(SHOWN_POSITIONS))
        except _UNFIT as error:
            return f"{self.expression()}: {error}"

    def _repr_html_(self) -> str | None:
        """For notebooks; None where it cannot be drawn, which the text tells."""
        try:
            (q_len, k_len), corner = self._corner(POSITIONS)
        except _UNFIT:
            return None
        size = f"{q_len} queries (down), {k_len} keys (across), filled = may attend"
        return frame(self.expression(), line(size), grids(corner, size=(q_len, k_len)))

    def _corner(self, most: int) -> tuple[tuple[int, int], Bool[Tensor, "... _ _"]]:
        """For how many queries and keys a picture is, and the mask of the first of them."""
        q_len, k_len = self.natural_size()
        either = next((length for length in (q_len, k_len) if length is not None), _DRAWN_POSITIONS)
        q_len, k_len = either if q_len is None else q_len, either if k_len is None else k_len
        self.require_fit(q_len, k_len)
        q_shown, k_shown = min(q_len, most), min(k_len, most)
        allowed = self.part(slice(0, q_shown), slice(0, k_shown), k_len - q_len, "cpu")
        return (q_len, k_len), allowed.expand(*allowed.shape[:-2], q_shown, k_shown)


@dataclass(frozen=True, eq=False, repr=False)
class Combined(Mask):
    left: Mask
    operator: Literal["&", "|"]
    right: Mask

    def __post_init__(self) -> None:
        left, right = (mask.sequences_and_heads() for mask in (self.left, self.right))
        for what, a, b in zip(("sequences", "heads"), left, right, strict=True):
            if a != b and 1 not in (a, b):
                raise ValueError(f"masks that are combined must be for as many {what}, got {a} and {b}")

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return self._combine(self.left.allows(at), self.right.allows(at))

    def part(self, queries: slice, keys: slice, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        left, right = (mask.part(queries, keys, shift, device) for mask in (self.left, self.right))
        if {left.ndim, right.ndim} == {3, 4}:
            left, right = with_heads(left), with_heads(right)
        return self._combine(left, right)

    def _combine(self, left: Tensor, right: Tensor) -> Tensor:
        return left & right if self.operator == "&" else left | right

    def require_fit(self, q_len: int, k_len: int) -> None:
        self.left.require_fit(q_len, k_len)
        self.right.require_fit(q_len, k_len)

    def natural_size(self) -> tuple[int | None, int | None]:
        (left_q, left_k), (right_q, right_k) = self.left.natural_size(), self.right.natural_size()
        return left_q or right_q, left_k or right_k

    def sequences_and_heads(self) -> tuple[int, int]:
        left, right = self.left.sequences_and_heads(), self.right.sequences_and_heads()
        return max(left[0], right[0]), max(left[1], right[1])

    def of_sequence(self, b: int) -> Mask:
        return Combined(self.left.of_sequence(b), self.operator, self.right.of_sequence(b))

    def is_stationary(self) -> bool:
        return self.left.is_stationary() and self.right.is_stationary()

    def key_ranges(self, first: Tensor, last: Tensor, q_len: int, k_len: int) -> KeyRanges:
        left, right = (mask.key_ranges(first, last, q_len, k_len) for mask in (self.left, self.right))
        if self.operator == "|":
            return KeyRanges(left.start.minimum(right.start), left.stop.maximum(right.stop))
        return KeyRanges.within(left.start.maximum(right.start), left.stop.minimum(right.stop), k_len)

    def expression(self) -> str:
        return f"({self.left.expression()} {self.operator} {self.right.expression()})"


@dataclass(frozen=True, eq=False, repr=False)
class Not(Mask):
    inner: Mask

    def allows(self, at: Pairs) -> Bool[Tensor, "..."]:
        return ~self.inner.allows(at)

    def part(self, queries: slice, keys: slice, shift: int, device: Device = None) -> Bool[Tensor, "... _ _"]:
        return ~self.inner.part(queries, keys, shift, device)

    def require_fit(self, q_len: int, k_len: int) -> None:
        self.inner.require_fit(q_len, k_len)

    def natural_size(self) -> tuple[int | None, int | None]:
        return self.inner.natural_size()

    def sequences_and_heads(self) -> tuple[int, int]:
        return self.inner.sequences_and_heads()

    def of_sequence(self, b: int) -> Mask:
        return Not(self.inner.of_sequence(b))

    def is_stationary(self) -> bool:
        return self.inner.is_stationary()

    def expression(self) -> str:
        return f"~{self.inner.expression()}"


def _place(mask: Mask) -> torch.device | None:
    """Where the mask's own tensors are; None where it has none."""
    parts = vars(mask).values()
    places = (_place(part) if isinstance(part, Mask) else getattr(part, "device", None) for part in parts)
    return next((place for place in places if place is not None), None)


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
