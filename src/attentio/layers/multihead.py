"""Multi-head attention: several comparisons side by side, each in features of its own.

    head_i = attend(x W_i^Q, y W_i^K, y W_i^V)        MultiHead(x, y) = [head_1; ..; head_n] W^O

Vaswani et al. 2017, section 3.2.2. With fewer key-value heads than heads, n / m neighbouring heads share one
(grouped-query attention, Ainslie et al. 2023, section 2.2). The projections of what is read together are one product.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.attention.attend import attend
from attentio.attention.call import Attended
from attentio.attention.compare import Dot, ScaledDot
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask import Mask, keep
from attentio.layers.cache import KeyValueCache
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights
from attentio.layers.positions import Rotation
from attentio.layers.qk_norm import QKNorm


class Layout(NamedTuple):
    """What self-attention needs to know of the positions, the same in all layers.

    mask: who sees whom. bias: added to the scores of each head (ALiBi). rotation: of queries and keys (rotary).
    """

    mask: Mask | None = None
    bias: Float[Tensor, "... heads q k"] | None = None
    rotation: Rotation | None = None


class MultiheadSource(NamedTuple):
    """A source made ready for cross-attention: keys and values of every head, once for all decoding steps.

    mask: its padding; None where there is none.
    """

    keys: Float[Tensor, "batch heads source d"]
    values: Float[Tensor, "batch heads source d"]
    mask: Mask | None

    def for_steps(self) -> "MultiheadSource":
        """The same, laid out to be read at every step: in one piece, its mask worked out."""
        mask = None if self.mask is None else keep(self.mask.materialize(1, self.keys.shape[2], self.keys.device))
        return MultiheadSource(self.keys.contiguous(), self.values.contiguous(), mask)


class SelfAttention(nn.Module):
    """A sequence attends to itself. width must be a multiple of heads, heads one of key_value_heads."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        key_value_heads: int | None = None,
        normalize: NormalizeFunction | None = None,
        qk_norm: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalize, self.qk_norm = normalize, QKNorm() if qk_norm else None
        self.heads, self.key_value_heads = heads, key_value_heads or heads
        self.head_features = _head_features(width, heads, self.key_value_heads)
        self.queries_keys_values = Linear(width, (heads + 2 * self.key_value_heads) * self.head_features, bias=bias)
        self.output = Linear(width, width, bias=bias)

    def forward(
        self, inputs: Float[Tensor, "batch positions width"], layout: Layout, *, need_weights: bool = False
    ) -> Attended:
        """Every position attends to those that the layout's mask allows; weights [batch, heads, q, k]."""
        return self._attend(*self._project(inputs, layout), layout, need_weights)

    def step(
        self,
        inputs: Float[Tensor, "batch new width"],
        layout: Layout,
        cache: KeyValueCache,
        *,
        packed: PackedWeights | None = None,
        need_weights: bool = False,
    ) -> tuple[Attended, KeyValueCache]:
        """New tokens attend to those in the cache and to themselves, as the layout's mask of slots allows."""
        queries, keys, values = self._project(inputs, layout, packed)
        cache = cache.append(keys, values)
        return self._attend(queries, cache.keys, cache.values, layout, need_weights, packed), cache

    def empty_cache(self, batch: int, like: Tensor) -> KeyValueCache:
        """A cache for `step` with nothing in it."""
        return KeyValueCache.empty(batch, self.key_value_heads, self.head_features, self.head_features, like)

    def _project(
        self, inputs: Tensor, layout: Layout, packed: PackedWeights | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        heads = _split(self.queries_keys_values(inputs, packed), self.head_features)
        queries, keys, values = heads.split([self.heads, self.key_value_heads, self.key_value_heads], dim=1)
        if layout.rotation is not None:
            queries, keys = layout.rotation.turn(queries), layout.rotation.turn(keys)
        if self.qk_norm is not None:
            queries, keys = self.qk_norm.queries(queries), self.qk_norm.keys(keys)
        return queries, keys, values

    def _attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        layout: Layout,
        need_weights: bool,
        packed: PackedWeights | None = None,
    ) -> Attended:
        attended = attend(
            queries,
            _per_head(keys, self.heads),
            _per_head(values, self.heads),
            score=_comparison(self.qk_norm),
            mask=layout.mask,
            bias=layout.bias,
            normalize=self.normalize,
            need_weights=need_weights,
        )
        return attended._replace(context=self.output(_join(attended.context), packed))


class CrossAttention(nn.Module):
    """A target attends to a source, whose positions have `memory_features` features."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        memory_features: int,
        key_value_heads: int | None = None,
        normalize: NormalizeFunction | None = None,
        qk_norm: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalize, self.qk_norm = normalize, QKNorm() if qk_norm else None
        self.heads, self.key_value_heads = heads, key_value_heads or heads
        self.head_features = _head_features(width, heads, self.key_value_heads)
        self.queries = Linear(width, width, bias=bias)
        self.keys_values = Linear(memory_features, 2 * self.key_value_heads * self.head_features, bias=bias)
        self.output = Linear(width, width, bias=bias)

    def prepare(self, memory: Float[Tensor, "batch source memory"], mask: Mask | None) -> MultiheadSource:
        """Keys and values of the source; `mask` is its padding."""
        keys, values = _split(self.keys_values(memory), self.head_features).chunk(2, dim=1)
        if self.qk_norm is not None:
            keys = self.qk_norm.keys(keys)
        return MultiheadSource(_per_head(keys, self.heads), _per_head(values, self.heads), mask)

    def forward(
        self,
        inputs: Float[Tensor, "batch q width"],
        source: MultiheadSource,
        *,
        packed: PackedWeights | None = None,
        need_weights: bool = False,
    ) -> Attended:
        """Every target position attends to the whole source; weights [batch, heads, q, source]."""
        queries = _split(self.queries(inputs, packed), self.head_features)
        if self.qk_norm is not None:
            queries = self.qk_norm.queries(queries)
        attended = attend(
            queries,
            source.keys,
            source.values,
            score=_comparison(self.qk_norm),
            mask=source.mask,
            normalize=self.normalize,
            need_weights=need_weights,
        )
        return attended._replace(context=self.output(_join(attended.context), packed))


def _comparison(qk_norm: QKNorm | None) -> Dot | ScaledDot:
    return ScaledDot() if qk_norm is None else Dot()


def _head_features(width: int, heads: int, key_value_heads: int) -> int:
    if width % heads:
        raise ValueError(f"width must be a multiple of the number of heads, got width {width} and {heads} heads")
    if heads % key_value_heads:
        raise ValueError(
            f"heads must be a multiple of key_value_heads, got {heads} heads and {key_value_heads} key-value heads"
        )
    return width // heads


def _split(
    vectors: Float[Tensor, "batch positions features"], head_features: int
) -> Float[Tensor, "batch heads positions d"]:
    return vectors.unflatten(-1, (-1, head_features)).transpose(1, 2)


def _join(heads: Float[Tensor, "batch heads positions d"]) -> Float[Tensor, "batch positions width"]:
    return heads.transpose(1, 2).flatten(2)


def _per_head(
    heads: Float[Tensor, "batch groups positions d"], wanted: int
) -> Float[Tensor, "batch heads positions d"]:
    """Each key-value head as often as heads share it."""
    groups = heads.shape[1]
    return heads if groups == wanted else torch.repeat_interleave(heads, wanted // groups, dim=1)
