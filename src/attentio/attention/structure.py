"""What is known of a mask without making it: the keys outside of which nothing is allowed, and which sequences and
positions it treats alike."""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from attentio.attention.mask import Causal, Combined, Keep, Mask, Not, Padding, Segments, Window


class Reach(NamedTuple):
    """Queries attend to no key outside start <= j < stop: one range a block of queries, and a sequence of the batch
    (one for all where they agree). Nowhere at all: start = k, stop = 0. Both on the CPU."""

    start: Int[Tensor, "#batch blocks"]
    stop: Int[Tensor, "#batch blocks"]


def reach(mask: Mask, first: Int[Tensor, "blocks"], last: Int[Tensor, "blocks"], q_len: int, k_len: int) -> Reach:
    """The reach of the blocks of queries first <= i <= last, of `q_len` queries that meet `k_len` keys; there is at
    least one of each.

    It is the smallest one for every mask made by a function of `mask`, and may be larger for a combination of them;
    of `~` nothing is known.
    """
    shift = k_len - q_len
    match mask:
        case Causal():
            stop = last + 1 + (shift if mask.align == "end" else 0)
            return _within(torch.zeros_like(stop)[None], stop[None], k_len)
        case Window():
            return _within((first + shift - mask.before)[None], (last + shift + mask.after + 1)[None], k_len)
        case Padding():
            stop = mask.lengths.to("cpu", torch.long)[:, None].expand(-1, len(first))
            return _within(torch.zeros_like(stop), stop, k_len)
        case Segments():
            return _of_segments(mask, first, last, k_len)
        case Keep():
            return _of_tensor(mask.allowed, first, last, k_len)
        case Combined():
            left, right = (reach(part, first, last, q_len, k_len) for part in (mask.left, mask.right))
            if mask.operator == "|":
                return Reach(left.start.minimum(right.start), left.stop.maximum(right.stop))
            return _within(left.start.maximum(right.start), left.stop.minimum(right.stop), k_len)
    return Reach(torch.zeros_like(first)[None], torch.full_like(first, k_len)[None])


def is_stationary(mask: Mask) -> bool:
    """Whether a pair is allowed by the distance of key and query alone, so that the mask repeats along its diagonal."""
    match mask:
        case Combined():
            return is_stationary(mask.left) and is_stationary(mask.right)
        case Not():
            return is_stationary(mask.inner)
    return isinstance(mask, Causal | Window)


def sequences_and_heads(mask: Mask) -> tuple[int, int]:
    """For how many sequences and heads the mask says something of its own; 1 where it holds for all."""
    match mask:
        case Padding():
            return len(mask.lengths), 1
        case Segments():
            return len(mask.query_ids), 1
        case Keep():
            lead = mask.allowed.shape[:-2]
            return lead[0] if lead else 1, lead[1] if len(lead) == 2 else 1
        case Combined():
            left, right = sequences_and_heads(mask.left), sequences_and_heads(mask.right)
            return max(left[0], right[0]), max(left[1], right[1])
        case Not():
            return sequences_and_heads(mask.inner)
    return 1, 1


def of_sequence(mask: Mask, b: int) -> Mask:
    """The mask of sequence `b` alone, as that of a batch of one."""
    match mask:
        case _ if sequences_and_heads(mask)[0] == 1:
            return mask
        case Padding():
            return Padding(mask.lengths[b : b + 1])
        case Segments():
            return Segments(mask.query_ids[b : b + 1], mask.key_ids[b : b + 1])
        case Keep():
            return Keep(mask.allowed[b : b + 1])
        case Combined():
            return Combined(of_sequence(mask.left, b), mask.operator, of_sequence(mask.right, b))
        case Not():
            return Not(of_sequence(mask.inner, b))
    return mask


def _within(start: Tensor, stop: Tensor, k_len: int) -> Reach:
    start, stop = start.clamp(min=0), stop.clamp(max=k_len)
    nowhere = start >= stop
    return Reach(start.masked_fill(nowhere, k_len), stop.masked_fill(nowhere, 0))


def _of_segments(mask: Segments, first: Tensor, last: Tensor, k_len: int) -> Reach:
    """From the first to the last key whose id occurs among the block's queries."""
    queries, keys = mask.query_ids.cpu().contiguous(), mask.key_ids.cpu()
    ids, places = keys.sort(dim=1, stable=True)
    low, high = (torch.searchsorted(ids, queries, right=right) for right in (False, True))
    absent = low == high
    start = places.gather(1, low.clamp(max=k_len - 1)).masked_fill(absent, k_len)
    stop = (places.gather(1, (high - 1).clamp(min=0)) + 1).masked_fill(absent, 0)
    blocks = _slices(first, last)
    return Reach(
        torch.stack([start[:, block].amin(1) for block in blocks], 1),
        torch.stack([stop[:, block].amax(1) for block in blocks], 1),
    )


def _of_tensor(allowed: Tensor, first: Tensor, last: Tensor, k_len: int) -> Reach:
    """From the first to the last True of any query of the block, in any head."""
    numbers = allowed.cpu().view(torch.uint8)  # torch finds the largest of numbers 25 times faster than any True
    numbers = numbers.amax(1) if numbers.ndim == 4 else numbers
    numbers = numbers[None] if numbers.ndim == 2 else numbers
    if numbers.shape[1] > 1:
        numbers = torch.stack([numbers[:, block].amax(1) for block in _slices(first, last)], 1)
    some = numbers.bool().expand(-1, len(first), k_len)
    keys = torch.arange(k_len)
    return Reach(torch.where(some, keys, k_len).amin(2), torch.where(some, keys + 1, 0).amax(2))


def _slices(first: Tensor, last: Tensor) -> list[slice]:
    return [slice(f, t + 1) for f, t in zip(first.tolist(), last.tolist(), strict=True)]
