"""Transformers put together from their sizes."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from attentio.layers.feed_forward import Activation
from attentio.layers.linear import Linear
from attentio.layers.positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from attentio.layers.token_embedding import TokenEmbedding
from attentio.layers.transformer_block import Norm, TransformerBlock, make_norm
from attentio.layers.transformer_stack import TransformerStack
from attentio.models.causal_lm import CausalLM
from attentio.models.masked_lm import MaskedLM
from attentio.models.transformer import TransformerDecoder, TransformerEncoder

Positions = Literal["sinusoidal", "learned", "rotary", "alibi", "none"]


@dataclass(frozen=True, kw_only=True)
class TransformerSizes:
    """What the Transformers of this package share.

    width: features of a position (the paper's d_model). feed_forward: features inside the feed-forward layers.
    key_value_heads: None for as many as heads. positions: see `layers.positions`; learned ones know `max_length`.
    window: tokens that a position sees on each side of itself (before itself, in a decoder); None for all.
    tied: embedding and output layer share their weight. dropout: of each sub-layer's output, and of the embeddings.
    """

    width: int = 256
    heads: int = 4
    key_value_heads: int | None = None
    feed_forward: int = 1024
    norm: Norm = "layer"
    pre_norm: bool = False
    activation: Activation = "relu"
    positions: Positions = "sinusoidal"
    max_length: int = 512
    window: int | None = None
    tied: bool = True
    dropout: float = 0.0
    eps: float = 1e-5


def transformer_encoder(
    sizes: TransformerSizes, *, vocabulary: int, layers: int, tokens: nn.Embedding | None = None
) -> TransformerEncoder:
    """The encoder of Vaswani et al. 2017, section 3; `tokens` is an embedding to share."""
    encoder = TransformerEncoder(
        _embedding(sizes, tokens or nn.Embedding(vocabulary, sizes.width), scale=math.sqrt(sizes.width)),
        _stack(sizes, layers, causal=False),
    )
    _initialise(encoder.stack)
    if tokens is None:
        nn.init.normal_(encoder.embedding.tokens.weight, std=sizes.width**-0.5)
    return encoder


def transformer_decoder(
    sizes: TransformerSizes,
    *,
    vocabulary: int,
    layers: int,
    memory_features: int,
    tokens: nn.Embedding | None = None,
) -> TransformerDecoder:
    """The decoder of Vaswani et al. 2017, section 3; `tokens` is an embedding to share, its first weights kept."""
    shared = tokens is not None
    tokens = tokens or nn.Embedding(vocabulary, sizes.width)
    output = Linear(sizes.width, vocabulary)
    decoder = TransformerDecoder(
        _embedding(sizes, tokens, scale=math.sqrt(sizes.width)),
        _stack(sizes, layers, causal=True, memory_features=memory_features),
        output,
    )
    _initialise(decoder.stack)
    if not shared:
        nn.init.normal_(tokens.weight, std=sizes.width**-0.5)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    if sizes.tied:
        output.weight = tokens.weight
    return decoder


def masked_lm(sizes: TransformerSizes, *, vocabulary: int, layers: int) -> MaskedLM:
    """BERT (Devlin et al. 2019): post-norm, a norm after the embedding too, first weights of deviation 0.02."""
    tokens, output = nn.Embedding(vocabulary, sizes.width), Linear(sizes.width, vocabulary)
    first_norm = None if sizes.pre_norm else make_norm(sizes.norm, sizes.width, sizes.eps)
    model = MaskedLM(
        _embedding(sizes, tokens, scale=1.0, norm=first_norm),
        _stack(sizes, layers, causal=False),
        activation="gelu" if sizes.activation == "swiglu" else sizes.activation,
        norm=make_norm(sizes.norm, sizes.width, sizes.eps),
        output=output,
    )
    _initialise_language_model(model, layers)
    if sizes.tied:
        output.weight = tokens.weight
    return model


def causal_lm(sizes: TransformerSizes, *, vocabulary: int, layers: int) -> CausalLM:
    """GPT-2 (Radford et al. 2019) where pre-norm, learned positions and gelu-tanh are chosen; no output bias."""
    tokens, output = nn.Embedding(vocabulary, sizes.width), Linear(sizes.width, vocabulary, bias=False)
    model = CausalLM(_embedding(sizes, tokens, scale=1.0), _stack(sizes, layers, causal=True), output)
    _initialise_language_model(model, layers)
    if sizes.tied:
        output.weight = tokens.weight
    return model


def _embedding(
    sizes: TransformerSizes, tokens: nn.Embedding, *, scale: float, norm: nn.Module | None = None
) -> TokenEmbedding:
    positions: SinusoidalPositions | LearnedPositions | None = None
    if sizes.positions == "sinusoidal":
        positions = SinusoidalPositions(sizes.width)
    elif sizes.positions == "learned":
        positions = LearnedPositions(sizes.max_length, sizes.width)
    return TokenEmbedding(tokens, positions, scale=scale, norm=norm, dropout=sizes.dropout)


def _stack(
    sizes: TransformerSizes, layers: int, *, causal: bool, memory_features: int | None = None
) -> TransformerStack:
    blocks = [
        TransformerBlock(
            sizes.width,
            sizes.heads,
            feed_forward=sizes.feed_forward,
            memory_features=memory_features,
            key_value_heads=sizes.key_value_heads,
            activation=sizes.activation,
            norm=sizes.norm,
            pre_norm=sizes.pre_norm,
            dropout=sizes.dropout,
            eps=sizes.eps,
        )
        for _ in range(layers)
    ]
    return TransformerStack(
        blocks,
        final_norm=make_norm(sizes.norm, sizes.width, sizes.eps) if sizes.pre_norm else None,
        causal=causal,
        window=sizes.window,
        rotary=RotaryPositions(sizes.width // sizes.heads) if sizes.positions == "rotary" else None,
        alibi=sizes.positions == "alibi",
    )


def _initialise(stack: nn.Module) -> None:
    """Glorot & Bengio 2010 for every product, 0 for every bias, as the original implementation."""
    for module in stack.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


def _initialise_language_model(model: nn.Module, layers: int) -> None:
    """Deviation 0.02 everywhere; what writes onto the residual of a deep stack less, as GPT-2 (section 2.3)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            onto_residual = name.endswith((".output", ".down"))
            nn.init.normal_(module.weight, std=0.02 / math.sqrt(2 * layers) if onto_residual else 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
