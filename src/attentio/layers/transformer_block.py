"""One block of a Transformer: attention and a feed-forward layer, each with a residual connection and a norm."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from attentio.attention.entmax import NormalizeFunction
from attentio.layers.cache import KeyValueCache
from attentio.layers.dropout import Dropout
from attentio.layers.feed_forward import Activation, FeedForward
from attentio.layers.multihead import CrossAttention, Layout, MultiheadSource, SelfAttention
from attentio.layers.packed import PackedWeights

Norm = Literal["layer", "rms"]


class BlockWeights(NamedTuple):
    """The attention of one block, own: of a sequence to itself; None for what it has not, or was not asked for."""

    own: Float[Tensor, "batch heads q k"] | None
    cross: Float[Tensor, "batch heads q source"] | None


class Sublayer(NamedTuple):
    """One f of a block and what is around it: x, what f read of it, what f made, and the x that goes on."""

    inputs: Float[Tensor, "batch positions width"]
    read: Float[Tensor, "batch positions width"]
    made: Float[Tensor, "batch positions width"]
    outputs: Float[Tensor, "batch positions width"]


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention if there is a source, and feed-forward; around each of them, as f:

        post-norm   x <- norm(x + dropout(f(x)))      Vaswani et al. 2017, section 3.1
        pre-norm    x <- x + dropout(f(norm(x)))      Xiong et al. 2020; the last block's output is yet to be normed

    memory_features: of a source position; None for a block without cross-attention.
    normalize: of every head; None for softmax. qk_norm: queries and keys are compared by their direction (`QKNorm`).
    norm: layer (Ba et al. 2016) or rms (Zhang & Sennrich 2019). eps: added to the variance.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        feed_forward: int,
        memory_features: int | None = None,
        key_value_heads: int | None = None,
        normalize: NormalizeFunction | None = None,
        qk_norm: bool = False,
        activation: Activation = "relu",
        norm: Norm = "layer",
        pre_norm: bool = False,
        dropout: float = 0.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.dropout = Dropout(dropout)
        self.self_attention = SelfAttention(
            width, heads, key_value_heads=key_value_heads, normalize=normalize, qk_norm=qk_norm
        )
        self.self_attention_norm = make_norm(norm, width, eps)
        self.cross_attention = self.cross_attention_norm = None
        if memory_features is not None:
            self.cross_attention = CrossAttention(
                width,
                heads,
                memory_features=memory_features,
                key_value_heads=key_value_heads,
                normalize=normalize,
                qk_norm=qk_norm,
            )
            self.cross_attention_norm = make_norm(norm, width, eps)
        self.feed_forward = FeedForward(width, feed_forward, activation=activation)
        self.feed_forward_norm = make_norm(norm, width, eps)

    def forward(
        self,
        inputs: Float[Tensor, "batch positions width"],
        layout: Layout,
        source: MultiheadSource | None = None,
        *,
        need_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch positions width"], BlockWeights]:
        """All positions at once."""
        attended = self.self_attention(self.before(inputs, self.self_attention_norm), layout, need_weights=need_weights)
        hidden = self.after(inputs, attended.context, self.self_attention_norm)
        hidden, cross = self._rest(hidden, source, need_weights)
        return hidden, BlockWeights(attended.weights, cross)

    def trace(
        self, inputs: Float[Tensor, "batch positions width"], layout: Layout, source: MultiheadSource | None = None
    ) -> list[Sublayer]:
        """What `forward`, given the same, computes: self-attention, cross-attention if there is any, feed-forward."""
        layers: list[tuple[nn.Module, Callable[[Tensor], Tensor]]] = [
            (self.self_attention_norm, lambda x: self.self_attention(x, layout).context)
        ]
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            cross = self.cross_attention
            layers.append((self.cross_attention_norm, lambda x: cross(x, source).context))
        layers.append((self.feed_forward_norm, self.feed_forward))
        found: list[Sublayer] = []
        for norm, f in layers:
            read = self.before(inputs, norm)
            made = f(read)
            found.append(Sublayer(inputs, read, made, self.after(inputs, made, norm)))
            inputs = found[-1].outputs
        return found

    def step(
        self,
        inputs: Float[Tensor, "batch new width"],
        layout: Layout,
        cache: KeyValueCache,
        source: MultiheadSource | None = None,
        *,
        packed: PackedWeights | None = None,
        need_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch new width"], BlockWeights, KeyValueCache]:
        """New tokens after those in the cache."""
        normed = self.before(inputs, self.self_attention_norm)
        attended, cache = self.self_attention.step(normed, layout, cache, packed=packed, need_weights=need_weights)
        hidden = self.after(inputs, attended.context, self.self_attention_norm)
        hidden, cross = self._rest(hidden, source, need_weights, packed)
        return hidden, BlockWeights(attended.weights, cross), cache

    def _rest(
        self,
        hidden: Tensor,
        source: MultiheadSource | None,
        need_weights: bool,
        packed: PackedWeights | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        cross = None
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            normed = self.before(hidden, self.cross_attention_norm)
            attended = self.cross_attention(normed, source, packed=packed, need_weights=need_weights)
            hidden = self.after(hidden, attended.context, self.cross_attention_norm)
            cross = attended.weights
        fed = self.feed_forward(self.before(hidden, self.feed_forward_norm), packed)
        return self.after(hidden, fed, self.feed_forward_norm), cross

    def before(self, inputs: Float[Tensor, "*batch width"], norm: nn.Module) -> Float[Tensor, "*batch width"]:
        """What f reads."""
        return norm(inputs) if self.pre_norm else inputs

    def after(
        self, inputs: Float[Tensor, "*batch width"], outputs: Float[Tensor, "*batch width"], norm: nn.Module
    ) -> Float[Tensor, "*batch width"]:
        """x with what f has made of it."""
        summed = inputs + self.dropout(outputs)
        return summed if self.pre_norm else norm(summed)


def make_norm(norm: Norm, width: int, eps: float) -> nn.Module:
    """LayerNorm or RMSNorm over `width` features."""
    return nn.LayerNorm(width, eps=eps) if norm == "layer" else nn.RMSNorm(width, eps=eps)
