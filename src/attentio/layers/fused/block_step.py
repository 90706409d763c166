"""A Transformer block's step for a few hypotheses as one call of compiled loops: `fused/kernel.py`.

It takes the place of `TransformerBlock.step` in float32 on a CPU, where nothing is to be differentiated or observed.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attentio.attention.attend import observer
from attentio.attention.mask import Mask
from attentio.attention.mask_kinds import Keep
from attentio.layers.cache import KeyValueCache
from attentio.layers.feed_forward import FeedForward
from attentio.layers.fused.loops import attention_loops
from attentio.layers.linear import Linear
from attentio.layers.multihead import CrossAttention, Layout, MultiheadSource, SelfAttention
from attentio.layers.packed import Loops, PackedWeights
from attentio.layers.product import suits_onednn
from attentio.layers.transformer_block import TransformerBlock

_FEW_ROWS = 8
"""Hypotheses, up to which one core's loops are done before torch's products with all cores: measured."""

_NOTHING = {axes: np.empty((0,) * axes, np.float32) for axes in (1, 2, 3, 4)}
_NO_MASK = {axes: np.empty((0,) * axes, np.bool_) for axes in (2, 3)}


class _Weights(NamedTuple):
    """A block as the loops take it."""

    matrices: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    norm_vectors: tuple[np.ndarray, ...]
    norms: tuple[float, bool, bool]
    activation: int


class FusedStep(NamedTuple):
    """What all blocks need at one step. visible, bias, rotation: as the loops take them."""

    loops: Loops
    blocks: list[tuple[TransformerBlock, _Weights]]
    visible: np.ndarray
    bias: np.ndarray
    rotation: np.ndarray

    def __call__(
        self,
        number: int,
        hidden: Float[Tensor, "batch beam width"],
        cache: KeyValueCache,
        source: MultiheadSource | None,
    ) -> tuple[Float[Tensor, "batch beam width"], Float[Tensor, "batch heads beam source"] | None, KeyValueCache]:
        """Block `number`: what `TransformerBlock.step` returns, with the weights of cross-attention."""
        (batch, beam, width), (block, weights) = hidden.shape, self.blocks[number]
        cache, cross = cache.extend(beam), None
        room = cache.buffer.keys.numpy(), cache.buffer.values.numpy(), cache.length
        slots = *room, self.visible, self.bias, self.rotation
        seen = _NOTHING[4], _NOTHING[4], _NO_MASK[2], _NOTHING[4]
        if source is not None:
            cross = hidden.new_empty(batch, source.keys.shape[1], beam, source.keys.shape[2])
            real = _NO_MASK[2] if source.mask is None else _allowed(source.mask).view(batch, -1).numpy()
            seen = source.keys.numpy(), source.values.numpy(), real, cross.numpy()
        if batch * beam <= _FEW_ROWS:
            hidden = hidden.clone(memory_format=torch.contiguous_format)
            self.loops.block_step(hidden.view(-1, width).numpy(), *weights, *slots, *seen)
        else:
            hidden = self._with_products_of_torch(block, hidden, slots, seen)
        return hidden, cross, cache

    def _with_products_of_torch(
        self, block: TransformerBlock, hidden: Tensor, slots: tuple[Any, ...], seen: tuple[np.ndarray, ...]
    ) -> Tensor:
        """Only attention in loops: for many rows at once torch's products are the faster ones."""
        self_attend, cross_attend = attention_loops()
        own, cross, context = block.self_attention, block.cross_attention, torch.empty_like(hidden)
        rows = context.flatten(0, 1).numpy()
        projected = own.queries_keys_values(block.before(hidden, block.self_attention_norm))
        self_attend(projected.flatten(0, 1).numpy(), *slots, rows)
        hidden = block.after(hidden, own.output(context), block.self_attention_norm)
        if cross is not None and block.cross_attention_norm is not None:
            queries = cross.queries(block.before(hidden, block.cross_attention_norm))
            cross_attend(queries.flatten(0, 1).numpy(), *seen, rows)
            hidden = block.after(hidden, cross.output(context), block.cross_attention_norm)
        fed = block.feed_forward(block.before(hidden, block.feed_forward_norm))
        return block.after(hidden, fed, block.feed_forward_norm)


def fused_step(
    blocks: Iterable[TransformerBlock],
    inputs: Float[Tensor, "batch beam width"],
    layout: Layout,
    caches: tuple[KeyValueCache, ...],
    sources: tuple[MultiheadSource, ...],
    packed: PackedWeights | None,
) -> FusedStep | None:
    """The step of these blocks; None where the usual way is to be taken.

    layout: of slots, its mask kept as [batch, beam, slots]. sources: laid out for steps.
    """
    if packed is None or packed.loops is None:
        return None
    if torch.is_grad_enabled() or observer.get() is not None or any(block.training for block in blocks):
        return None
    read = [inputs, *(cache.buffer.keys for cache in caches), *(source.keys for source in sources)]
    if not all(suits_onednn(inputs, tensor) and not tensor.requires_grad for tensor in read):
        return None
    if not all(tensor.is_contiguous() for tensor in read[1:]):
        return None
    weights = packed.get((blocks, "step"), lambda: [_weights(block) for block in blocks])
    prepared = [(block, each) for block, each in zip(blocks, weights, strict=True) if each is not None]
    if len(prepared) < len(weights):
        return None
    mask, bias, rotation = layout
    return FusedStep(
        packed.loops,
        prepared,
        _NO_MASK[3] if mask is None else _allowed(mask).numpy(),
        _NOTHING[2] if bias is None else bias[:, 0].contiguous().numpy(),
        _NOTHING[2] if rotation is None else torch.cat([rotation.cos, rotation.sin]).numpy(),
    )


def _weights(block: TransformerBlock) -> _Weights | None:
    """None where a part is not what the loops take it for, or somebody listens to it."""
    own, cross, fed = block.self_attention, block.cross_attention, block.feed_forward
    norms: list[Any] = [block.self_attention_norm, block.cross_attention_norm, block.feed_forward_norm]
    kinds = {type(norm) for norm in norms if norm is not None}
    if (type(block), type(own), type(fed)) != (TransformerBlock, SelfAttention, FeedForward):
        return None
    if type(cross) not in (CrossAttention, type(None)) or kinds not in ({nn.LayerNorm}, {nn.RMSNorm}):
        return None
    attentions = [own] if cross is None else [own, cross]
    if any(one.normalize is not None or one.qk_norm is not None for one in attentions):
        return None
    linears: list[Linear | None] = [own.queries_keys_values, own.output]
    linears += [None, None] if cross is None else [cross.queries, cross.output]
    linears += [fed.up, fed.gate, fed.down]
    if any(layer is not None and type(layer) is not Linear for layer in linears):
        return None
    if any(module._forward_hooks or module._forward_pre_hooks for module in block.modules()):
        return None
    if not all(suits_onednn(weight, weight) for weight in block.parameters()):
        return None
    from attentio.layers.fused.kernel import ACTIVATIONS

    return _Weights(
        tuple(_NOTHING[2] if layer is None else _array(layer.weight) for layer in linears),
        tuple(_array(None if layer is None else layer.bias) for layer in linears),
        tuple(_array(getattr(norm, name, None)) for norm in norms for name in ("weight", "bias")),
        (float(norms[0].eps), kinds == {nn.LayerNorm}, block.pre_norm),
        ACTIVATIONS.index(fed.activation),
    )


def _allowed(mask: Mask) -> Bool[Tensor, "..."]:
    assert isinstance(mask, Keep)  # of slots, and of a source laid out for steps
    return mask.allowed


def _array(tensor: Tensor | None) -> np.ndarray:
    return _NOTHING[1] if tensor is None else tensor.detach().contiguous().numpy()
