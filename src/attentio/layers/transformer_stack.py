"""Transformer blocks one above the other, and what their self-attention may see."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.mask import Mask, causal, keep, window
from attentio.layers.cache import KeyValueCache, Slots
from attentio.layers.multihead import Layout, MultiheadSource
from attentio.layers.packed import PackedWeights
from attentio.layers.positions import RelativePositions, RotaryPositions, alibi
from attentio.layers.transformer_block import BlockWeights, Sublayer, TransformerBlock


class Stacked(NamedTuple):
    """The output of all blocks, and the attention of each (None entries where not asked for)."""

    outputs: Float[Tensor, "batch positions width"]
    weights: tuple[BlockWeights, ...]


class TransformerStack(nn.Module):
    """Blocks, and a final norm where they are pre-norm.

    causal: a position sees itself and earlier ones only. window: tokens that it sees on each side of itself at most
    (before itself, if causal); None for all. rotary, alibi, relative: how self-attention itself knows positions.
    """

    blocks: Sequence[TransformerBlock]

    def __init__(
        self,
        blocks: list[TransformerBlock],
        *,
        final_norm: nn.Module | None,
        causal: bool,
        window: int | None = None,
        rotary: RotaryPositions | None = None,
        alibi: bool = False,
        relative: RelativePositions | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.final_norm, self.rotary, self.relative = final_norm, rotary, relative
        self.causal, self.window, self.alibi = causal, window, alibi

    def forward(
        self,
        inputs: Float[Tensor, "batch length width"],
        positions: Int[Tensor, "*batch length"],
        allowed: Mask | None,
        sources: tuple[MultiheadSource, ...] = (),
        *,
        need_weights: bool = False,
    ) -> Stacked:
        """All positions at once. allowed: padding or segments; causality and window are added to it."""
        layout = self._layout(inputs, positions, allowed)
        hidden, weights = inputs, []
        for i, block in enumerate(self.blocks):
            hidden, seen = block(hidden, layout, sources[i] if sources else None, need_weights=need_weights)
            weights.append(seen)
        return Stacked(self.finish(hidden), tuple(weights))

    def trace(
        self,
        inputs: Float[Tensor, "batch length width"],
        positions: Int[Tensor, "*batch length"],
        allowed: Mask | None,
        sources: tuple[MultiheadSource, ...] = (),
    ) -> list[list[Sublayer]]:
        """What each block of `forward`, given the same, computes; without the final norm."""
        layout = self._layout(inputs, positions, allowed)
        found: list[list[Sublayer]] = []
        for i, block in enumerate(self.blocks):
            found.append(block.trace(inputs, layout, sources[i] if sources else None))
            inputs = found[-1][-1].outputs
        return found

    def read(
        self,
        inputs: Float[Tensor, "batch length width"],
        positions: Int[Tensor, "length"],
        packed: PackedWeights | None = None,
    ) -> tuple[Float[Tensor, "batch length width"], tuple[KeyValueCache, ...]]:
        """A prompt: as `forward`, and the caches from which `step` goes on."""
        layout = self._layout(inputs, positions, None)
        hidden, caches = inputs, []
        for block, cache in zip(self.blocks, self.empty_caches(inputs.shape[0], inputs), strict=True):
            hidden, _, cache = block.step(hidden, layout, cache, packed=packed)
            caches.append(cache)
        return self.finish(hidden), tuple(caches)

    def step(
        self,
        inputs: Float[Tensor, "batch beam width"],
        slots: Slots,
        caches: tuple[KeyValueCache, ...],
        sources: tuple[MultiheadSource, ...] = (),
        *,
        packed: PackedWeights | None = None,
        need_weights: bool = False,
    ) -> tuple[Stacked, tuple[KeyValueCache, ...]]:
        """One new token of each hypothesis; `slots` has its slot already, the caches have not.

        Only the last block's weights are made, and only if asked for.
        """
        layout = self._layout_of_slots(inputs, slots)
        hidden, grown, weights = inputs, [], BlockWeights(None, None)
        last = len(self.blocks) - 1
        for i, (block, cache) in enumerate(zip(self.blocks, caches, strict=True)):
            source, wanted = sources[i] if sources else None, need_weights and i == last
            hidden, weights, cache = block.step(hidden, layout, cache, source, packed=packed, need_weights=wanted)
            grown.append(cache)
        return Stacked(self.finish(hidden), (weights,)), tuple(grown)

    def empty_caches(self, batch: int, like: Tensor) -> tuple[KeyValueCache, ...]:
        """What `step` starts from without a prompt."""
        return tuple(block.self_attention.empty_cache(batch, like) for block in self.blocks)

    def prepare(self, memory: Float[Tensor, "batch source memory"], mask: Mask | None) -> tuple[MultiheadSource, ...]:
        """Each block's keys and values of the source."""
        attentions = [block.cross_attention for block in self.blocks]
        return tuple(attention.prepare(memory, mask) for attention in attentions if attention is not None)

    def _layout(self, inputs: Tensor, positions: Tensor, allowed: Mask | None) -> Layout:
        mask = allowed
        near = None if self.window is None else window(self.window, 0 if self.causal else self.window)
        for rule in (causal() if self.causal and near is None else None, near):
            if rule is not None:
                mask = rule if mask is None else rule & mask
        # Within a sequence, and within a segment of a packed row, distances are those of the row.
        along = torch.arange(inputs.shape[1], device=inputs.device)
        return Layout(
            mask,
            self._bias(along, along, inputs),
            None if self.rotary is None else self.rotary(positions, inputs.dtype),
        )

    def _layout_of_slots(self, inputs: Tensor, slots: Slots) -> Layout:
        here = slots.positions[-1:]
        visible = slots.visible
        if self.window is not None:
            near = (slots.positions >= here - self.window).expand(*inputs.shape[:2], -1)
            visible = near if visible is None else visible & near
        bias = self._bias(here.expand(inputs.shape[1]), slots.positions, inputs)
        rotation = None if self.rotary is None else self.rotary(here, inputs.dtype)
        return Layout(None if visible is None else keep(visible), bias, rotation)

    def _bias(self, queries: Tensor, keys: Tensor, inputs: Tensor) -> Tensor | None:
        """Of each head's scores, by distance; None where scores do not know distances."""
        if self.relative is not None:
            return self.relative(queries, keys).to(inputs)
        return alibi(queries, keys, self.blocks[0].self_attention.heads).to(inputs) if self.alibi else None

    def finish(self, hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """What goes out of the stack, of what the last block gives out."""
        return hidden if self.final_norm is None else self.final_norm(hidden)
