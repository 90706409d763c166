"""A call cut into blocks: a few neighbouring queries, and the range of keys that any of them may attend to."""

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from attentio.attention.mask import Mask, with_heads
from attentio.attention.structure import is_stationary, of_sequence, reach, sequences_and_heads


class Block(NamedTuple):
    """Queries, and the keys that any of them may attend to: maybe none.

    allowed: [queries, keys] or [batch, heads, queries, keys], the last three broadcast; None where all pairs are
    allowed. empty: the queries that have no key; None where there are none.
    """

    queries: slice
    keys: slice
    allowed: Bool[Tensor, "*_ _ _"] | None
    empty: Bool[Tensor, "*_ _ 1"] | None


class Rows(NamedTuple):
    """Sequences of the batch that are cut in the same way, into blocks that hold every query once, in order."""

    sequences: slice
    blocks: list[Block]


def pairs_met(mask: Mask, batch: int, q_len: int, k_len: int, size: int) -> tuple[int, int]:
    """Pairs of a query and a key in the blocks of one head, and the number of the blocks, for blocks of `size`
    queries."""
    first = torch.arange(0, q_len, size)
    last = (first + size - 1).clamp(max=q_len - 1)
    start, stop = reach(mask, first, last, q_len, k_len)
    keys = (stop - start).clamp(min=0)
    copies = batch // len(keys)
    return copies * int((keys * (last - first + 1)).sum()), copies * int(keys.count_nonzero())


def plan(mask: Mask, batch: int, q_len: int, k_len: int, size: int) -> list[Rows]:
    """Blocks of `size` queries, and larger ones without a mask, that hold all that `mask` allows.

    Raises:
        ValueError: a tensor inside the mask was made for another number of queries or keys.
    """
    mask.require_fit(q_len, k_len)
    if sequences_and_heads(mask)[0] == 1:
        return [Rows(slice(0, batch), _blocks(mask, q_len, k_len, size))]
    return [Rows(slice(b, b + 1), _blocks(of_sequence(mask, b), q_len, k_len, size)) for b in range(batch)]


def _blocks(mask: Mask, q_len: int, k_len: int, size: int) -> list[Block]:
    first = torch.arange(0, q_len, size)
    last = (first + size - 1).clamp(max=q_len - 1)
    start, stop = (edge[0].tolist() for edge in reach(mask, first, last, q_len, k_len))
    stationary = is_stationary(mask)
    blocks: list[Block] = []
    seen: dict[tuple[int, int, int], tuple[Tensor | None, Tensor | None]] = {}
    for i, begin, end in zip(range(0, q_len, size), start, stop, strict=True):
        if begin >= end:
            begin = end = 0
        queries, keys = range(i, min(i + size, q_len)), range(begin, end)
        place = (len(queries), len(keys), begin - i)
        if not stationary or place not in seen:
            seen[place] = _part(mask, queries, keys, k_len - q_len)
        block = Block(slice(i, queries.stop), slice(begin, end), *seen[place])
        if blocks and block.allowed is blocks[-1].allowed is None and block.keys == blocks[-1].keys:
            # Neighbours that see all of the same keys are one block.
            block = block._replace(queries=slice(blocks.pop().queries.start, queries.stop))
        blocks.append(block)
    return blocks


def _part(mask: Mask, queries: range, keys: range, shift: int) -> tuple[Tensor | None, Tensor | None]:
    if not keys:
        return None, None
    allowed = with_heads(mask.part(queries, keys, shift))
    numbers = allowed.view(torch.uint8)  # see `structure._of_tensor`
    if numbers.amin():
        return None, None
    some = numbers.amax(dim=-1, keepdim=True)
    return allowed, None if some.amin() else some == 0
