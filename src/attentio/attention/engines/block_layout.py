"""A call cut into blocks: a few neighbouring queries, and the range of keys that any of them may attend to."""

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from attentio.attention.mask_base import KeyRanges, Mask, with_heads
from attentio.attention.mask_kinds import Keep


class Block(NamedTuple):
    """Queries, and the keys that any of them may attend to: maybe none.

    allowed: [queries, keys] or [batch, heads, queries, keys], the last three broadcast; None where all pairs are
    allowed. empty: the queries that have no key; None where there are none.
    """

    queries: slice
    keys: slice
    allowed: Bool[Tensor, "*_ _ _"] | None
    empty: Bool[Tensor, "*_ _ 1"] | None

    def pairs(self) -> int:
        """Pairs of a query and a key, in one head of one sequence."""
        return (self.queries.stop - self.queries.start) * (self.keys.stop - self.keys.start)


class SequenceBlocks(NamedTuple):
    """Sequences of the batch that are cut in the same way, into blocks that hold every query once, in order."""

    sequences: slice
    blocks: list[Block]


class Grid(NamedTuple):
    """The queries in blocks of `size`, and which keys each block may attend to: what is known before any mask is made.

    One grid is found for each call; its cost decides whether blocks pay, and it is then cut.
    """

    mask: Mask
    batch: int
    q_len: int
    k_len: int
    size: int
    ranges: KeyRanges

    @classmethod
    def of(cls, mask: Mask, batch: int, q_len: int, k_len: int, size: int) -> "Grid":
        ranges = mask.key_ranges(*_edges(q_len, size), q_len, k_len)
        return cls(mask, batch, q_len, k_len, size, ranges)

    def pairs_and_blocks(self) -> tuple[int, int]:
        """Pairs of a query and a key in the blocks of one head, and the number of these blocks."""
        first, last = _edges(self.q_len, self.size)
        keys = (self.ranges.stop - self.ranges.start).clamp(min=0)
        copies = self.batch // len(keys)
        return copies * int((keys * (last - first + 1)).sum()), copies * int(keys.count_nonzero())

    def cut(self) -> list[SequenceBlocks]:
        """Blocks of `size` queries, and larger ones without a mask, that hold all that the mask allows."""
        if self.mask.sequences_and_heads()[0] == 1:
            return [SequenceBlocks(slice(0, self.batch), self._blocks(self.mask, 0))]
        of_each = (self._blocks(self.mask.of_sequence(b), b) for b in range(self.batch))
        return [SequenceBlocks(slice(b, b + 1), blocks) for b, blocks in enumerate(of_each)]

    def _blocks(self, mask: Mask, b: int) -> list[Block]:
        """The blocks of sequence `b`, whose own mask is `mask`."""
        start, stop = (edge[b if len(edge) > 1 else 0].tolist() for edge in self.ranges)
        stationary = mask.is_stationary()
        blocks: list[Block] = []
        seen: dict[tuple[int, int, int], tuple[Tensor | None, Tensor | None]] = {}
        for i, begin, end in zip(range(0, self.q_len, self.size), start, stop, strict=True):
            if begin >= end:
                begin = end = 0
            queries, keys = slice(i, min(i + self.size, self.q_len)), slice(begin, end)
            place = (queries.stop - i, end - begin, begin - i)
            if not stationary or place not in seen:
                seen[place] = _part(mask, queries, keys, self.k_len - self.q_len)
            block = Block(queries, keys, *seen[place])
            if blocks and block.allowed is blocks[-1].allowed is None and block.keys == blocks[-1].keys:
                # Neighbours that see all of the same keys are one block.
                block = block._replace(queries=slice(blocks.pop().queries.start, queries.stop))
            blocks.append(block)
        return blocks


def _edges(q_len: int, size: int) -> tuple[Tensor, Tensor]:
    """The first and the last query of each block."""
    first = torch.arange(0, q_len, size, device="cpu")
    return first, (first + size - 1).clamp(max=q_len - 1)


def _part(mask: Mask, queries: slice, keys: slice, shift: int) -> tuple[Tensor | None, Tensor | None]:
    """`allowed` and `empty` of a block."""
    if keys.start == keys.stop:
        return None, None
    allowed = with_heads(mask.part(queries, keys, shift, "cpu"))
    numbers = allowed.view(torch.uint8)  # as in `Keep.key_ranges`
    if numbers.amin():
        return None, None
    if isinstance(mask, Keep):
        allowed = allowed.clone()  # of the caller's tensor, which may be written to before the backward pass
    some = numbers.amax(dim=-1, keepdim=True)
    return allowed, None if some.amin() else some == 0
