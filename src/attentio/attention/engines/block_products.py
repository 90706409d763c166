"""Dot-product attention on blocks: the products of one block stay in the processor's cache, forward and backward.

Nothing is kept for the backward pass but the arguments: the weights of a block are made again when their gradient is.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.call import Call
from attentio.attention.compare import ScaledDot
from attentio.attention.engines import reference
from attentio.attention.engines.block_calls import one_by_one
from attentio.attention.engines.block_layout import Block, SequenceBlocks
from attentio.attention.engines.differentiable import recorded_gradients
from attentio.attention.normalize import empty_rows
from attentio.attention.transforms import recording
from attentio.devices import in_full_precision

_NUMBERS_AT_ONCE = 1 << 17
"""Weights of a block that are computed together: 512 KB, so that two such tensors fit in a core's cache."""


class BlockProducts(torch.autograd.Function):
    """softmax(scale * query @ key^T + bias, over the pairs of the blocks) @ value"""

    @staticmethod
    def forward(
        query: Float[Tensor, "batch heads q d"],
        key: Float[Tensor, "batch heads k d"],
        value: Float[Tensor, "batch heads k dv"],
        bias: Float[Tensor, "batch heads q k"] | None,
        scale: float,
        layout: list[SequenceBlocks],
    ) -> Float[Tensor, "batch heads q dv"]:
        batch, heads, q_len, _ = query.shape
        # Heads beside each other, as torch's kernel has it: joining them afterwards is free.
        context = query.new_empty(batch, q_len, heads, value.shape[-1]).transpose(1, 2)
        if any(block.pairs() == 0 for rows in layout for block in rows.blocks):
            context.zero_()
        weights = _Weights(query, key, bias, scale, layout)
        for b, h, block in _parts(layout, heads):
            torch.bmm(weights.of(b, h, block), value[b, h, block.keys], out=context[b, h, block.queries])
        return context

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        query, key, value, bias, ctx.scale, ctx.layout = inputs
        ctx.save_for_backward(query, key, value, bias)

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias = ctx.saved_tensors
        if recording(upstream):

            def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
                call = Call(query, key, value, ScaledDot(ctx.scale), None, bias, dropout=0.0, need_weights=False)
                return one_by_one(call, ctx.layout, reference.run).context

            return *recorded_gradients(plain, (query, key, value), upstream), None, None, None
        grad_q, grad_k, grad_v = (torch.zeros_like(t) for t in (query, key, value))
        weights = _Weights(query, key, bias, ctx.scale, ctx.layout)
        for b, h, block in _parts(ctx.layout, query.shape[1]):
            queries, keys = (b, h, block.queries), (b, h, block.keys)
            w = weights.of(b, h, block)
            grad = upstream[queries]
            grad_v[keys] += torch.bmm(w.transpose(1, 2), grad)  # baddbmm_ would go through the heads one by one
            grad_s = weights.scores[: w.numel()].view(w.shape)  # The scores are not needed any more.
            torch.bmm(grad, value[keys].transpose(1, 2), out=grad_s)
            torch.ops.aten._softmax_backward_data.out(grad_s, w, -1, w.dtype, grad_input=grad_s)
            torch.bmm(grad_s, key[keys], out=grad_q[queries])
            grad_k[keys] += torch.bmm(grad_s.transpose(1, 2), query[queries])
        return grad_q.mul_(ctx.scale), grad_k.mul_(ctx.scale), grad_v, None, None, None


class _Weights:
    """The attention weights of one block after the other, in the same memory."""

    def __init__(
        self, query: Tensor, key: Tensor, bias: Tensor | None, scale: float, layout: list[SequenceBlocks]
    ) -> None:
        self.query, self.key, self.bias, self.scale = query, key, bias, scale
        heads = query.shape[1]
        most = max((min(heads, _heads_at_once(block)) * block.pairs() for _, block in _each(layout)), default=0)
        self.scores, self.weights = query.new_empty(2, most)
        self._last_allowed: Tensor | None = None
        self._last_forbid = query.new_empty(0)

    def of(self, b: int, h: slice, block: Block) -> Float[Tensor, "heads _ _"]:
        query, key = self.query[b, h, block.queries], self.key[b, h, block.keys].transpose(1, 2)
        shape = (len(query), query.shape[1], key.shape[2])
        scores, weights = (numbers[: math.prod(shape)].view(shape) for numbers in (self.scores, self.weights))
        torch.baddbmm(scores, query, key, beta=0, alpha=self.scale, out=scores)
        empty = block.empty
        if self.bias is not None:
            scores += self.bias[b, h, block.queries, block.keys]
        if block.allowed is not None:
            scores += _of_head(self._forbid(block.allowed), h)
        torch.softmax(scores, dim=-1, out=weights)
        if self.bias is not None:
            weights.masked_fill_(empty_rows(scores), 0.0)
        elif empty is not None:
            weights.masked_fill_(_of_head(empty, h), 0.0)
        return weights

    def _forbid(self, allowed: Bool[Tensor, "*_ _ _"]) -> Float[Tensor, "*_ _ _"]:
        """-inf where nothing is allowed, else 0: adding this to every head is much faster than filling them in. Blocks
        with the same mask tend to follow each other."""
        if allowed is not self._last_allowed:
            self._last_allowed = allowed
            self._last_forbid = self.query.new_zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))
        return self._last_forbid


def _parts(layout: list[SequenceBlocks], heads: int) -> Iterator[tuple[int, slice, Block]]:
    """The blocks of every sequence, by as many heads as are computed together."""
    for rows, block in _each(layout):
        step = _heads_at_once(block)
        for b in range(rows.start, rows.stop):
            for h in range(0, heads, step):
                yield b, slice(h, min(h + step, heads)), block


def _each(layout: list[SequenceBlocks]) -> Iterator[tuple[slice, Block]]:
    return ((rows.sequences, block) for rows in layout for block in rows.blocks if block.pairs())


def _heads_at_once(block: Block) -> int:
    return max(1, _NUMBERS_AT_ONCE // block.pairs())


def _of_head(part: Tensor, h: slice) -> Tensor:
    """What belongs to these heads in the part of a mask."""
    if part.ndim == 2:
        return part
    return part[0, h] if part.shape[1] > 1 else part[0]
