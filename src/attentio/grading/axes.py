"""In which order of axes sequences go in, and how what comes out is read: sizes tell the axes apart."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Axes(NamedTuple):
    """How one code wants its sequences.

    query, key: letters of the axes, of b q k d; h cuts the batch in two, as heads are.
    """

    query: str
    key: str

    @property
    def batch(self) -> int | None:
        """1 where there is no batch axis."""
        return None if "b" in self.key else 1

    @property
    def queries(self) -> int | None:
        """1 where there is no axis of queries, or it is there for one decoder step."""
        return None if "q" in self.query else 1


ORDERS = (
    Axes("bqd", "bkd"),
    Axes("bd", "bkd"),
    Axes("1bd", "bkd"),
    Axes("b1d", "bkd"),
    Axes("qbd", "kbd"),
    Axes("bd", "kbd"),
    Axes("1bd", "kbd"),
    Axes("bhqd", "bhkd"),
    Axes("qd", "kd"),
    Axes("d", "kd"),
    Axes("bqd", "kbd"),
)


def arranged(sequence: Tensor, letters: str) -> Tensor:
    """[b, n, d] in the order of `letters`."""
    if "h" in letters:
        return sequence.unflatten(0, (-1, 2))
    kept = sequence
    if not set("qk") & set(letters):
        kept = kept[:, 0]  # [b, d]
    if "b" not in letters:
        kept = kept[0]
    if letters in ("qbd", "kbd"):
        kept = kept.transpose(0, 1)
    if letters == "1bd":
        kept = kept[None]
    return kept[:, None] if letters == "b1d" else kept.contiguous()


def tensors_in(returned: Any) -> list[Tensor]:
    """Every tensor or array of numbers in what code returned."""
    if isinstance(returned, Tensor):
        return [returned.detach()]
    if hasattr(returned, "__array__") or isinstance(returned, (list, float)):
        try:
            return [torch.as_tensor(returned)]
        except (TypeError, ValueError, RuntimeError):
            pass
    if isinstance(returned, dict):
        returned = list(returned.values())
    if hasattr(returned, "__dict__") and not isinstance(returned, (tuple, list)):
        returned = list(vars(returned).values())
    if isinstance(returned, (tuple, list)):
        return [one for part in returned for one in tensors_in(part)]
    return []


def read(yours: Tensor, expected: Tensor, order: Sequence[int] | None) -> tuple[Tensor, tuple[int, ...]] | None:
    """`yours` with the axes of `expected`, and the order that was taken; None where the sizes do not fit.

    order: the one taken where all sizes differed, for sizes that do not.
    """
    wanted = tuple(size for size in expected.shape if size != 1)
    got = yours.squeeze()
    if sorted(got.shape) != sorted(wanted):
        if got.ndim < len(wanted) and got.numel() == expected.numel() and got.shape[-2:] == wanted[-2:]:
            return got.reshape(expected.shape), tuple(range(len(wanted)))
        return None
    orders = [order] if order is not None and len(order) == len(wanted) else list(permutations(range(len(wanted))))
    for one in orders:
        if tuple(got.shape[axis] for axis in one) == wanted:
            return got.permute(*one).reshape(expected.shape), tuple(one)
    return None
