"""Transformers put together from their sizes. vocabulary: tokens that each reads, and says."""

import math

from torch import nn

from attentio.config.schema import ModelConfig
from attentio.layers.linear import Linear
from attentio.layers.positions import LearnedPositions, RelativePositions, RotaryPositions, SinusoidalPositions
from attentio.layers.token_embedding import TokenEmbedding
from attentio.layers.transformer_block import TransformerBlock, make_norm
from attentio.layers.transformer_stack import TransformerStack
from attentio.models.causal_lm import CausalLM
from attentio.models.labeller import Labeller
from attentio.models.masked_lm import MaskedLM
from attentio.models.normalization import normalization
from attentio.models.own import NO_CODE, OwnCode
from attentio.models.transformer import TransformerDecoder, TransformerEncoder


def transformer_encoder(config: ModelConfig, *, vocabulary: int, own: OwnCode = NO_CODE) -> TransformerEncoder:
    """The encoder of Vaswani et al. 2017, section 3."""
    width = config.transformer.width
    encoder = TransformerEncoder(
        _embedding(config, nn.Embedding(vocabulary, width), scale=_scale(config)),
        _stack(config, own, config.encoder_layers, causal=False),
    )
    _initialise(encoder.stack)
    nn.init.normal_(encoder.embedding.tokens.weight, std=width**-0.5)
    return encoder


def transformer_decoder(
    config: ModelConfig,
    *,
    vocabulary: int,
    memory_features: int,
    tokens: nn.Embedding | None = None,
    own: OwnCode = NO_CODE,
) -> TransformerDecoder:
    """The decoder of Vaswani et al. 2017, section 3; `tokens` is an embedding to share, its first weights kept."""
    shared, width = tokens is not None, config.transformer.width
    tokens = tokens or nn.Embedding(vocabulary, width)
    output = Linear(width, vocabulary)
    decoder = TransformerDecoder(
        _embedding(config, tokens, scale=_scale(config)),
        _stack(config, own, config.decoder_layers, causal=True, memory_features=memory_features),
        output,
    )
    _initialise(decoder.stack)
    if not shared:
        nn.init.normal_(tokens.weight, std=width**-0.5)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    if config.transformer.tied:
        output.weight = tokens.weight
    return decoder


def masked_lm(config: ModelConfig, *, vocabulary: int, own: OwnCode = NO_CODE) -> MaskedLM:
    """BERT (Devlin et al. 2019): post-norm, a norm after the embedding too, first weights of deviation 0.02."""
    sizes, layers = config.transformer, config.encoder_layers
    tokens, output = nn.Embedding(vocabulary, sizes.width), Linear(sizes.width, vocabulary)
    model = MaskedLM(
        _embedding(config, tokens, scale=1.0, norm=_first_norm(config, bert=True)),
        _stack(config, own, layers, causal=False),
        activation="gelu" if sizes.activation == "swiglu" else sizes.activation,
        norm=_norm(config),
        output=output,
    )
    _initialise_language_model(model, layers)
    if sizes.tied:
        output.weight = tokens.weight
    return model


def labeller(config: ModelConfig, *, vocabulary: int, labels: int, own: OwnCode = NO_CODE) -> Labeller:
    """The encoder of `masked_lm` with an output layer of its own."""
    sizes, layers = config.transformer, config.encoder_layers
    tokens, output = nn.Embedding(vocabulary, sizes.width), Linear(sizes.width, labels)
    embedding = _embedding(config, tokens, scale=1.0, norm=_first_norm(config, bert=True))
    model = Labeller(embedding, _stack(config, own, layers, causal=False), output, dropout=config.dropout)
    _initialise_language_model(model, layers)
    return model


def causal_lm(config: ModelConfig, *, vocabulary: int, own: OwnCode = NO_CODE) -> CausalLM:
    """GPT-2 (Radford et al. 2019) where pre-norm, learned positions and gelu-tanh are chosen; no output bias."""
    sizes, layers = config.transformer, config.decoder_layers
    tokens, output = nn.Embedding(vocabulary, sizes.width), Linear(sizes.width, vocabulary, bias=False)
    embedding = _embedding(config, tokens, scale=1.0, norm=_first_norm(config, bert=False))
    model = CausalLM(embedding, _stack(config, own, layers, causal=True), output)
    _initialise_language_model(model, layers)
    if sizes.tied:
        output.weight = tokens.weight
    return model


def _scale(config: ModelConfig) -> float:
    """Of the embeddings of an encoder-decoder."""
    return math.sqrt(config.transformer.width) if config.transformer.scale_embedding else 1.0


def _norm(config: ModelConfig) -> nn.Module:
    sizes = config.transformer
    return make_norm(sizes.norm, sizes.width, sizes.eps)


def _embedding(
    config: ModelConfig, tokens: nn.Embedding, *, scale: float, norm: nn.Module | None = None
) -> TokenEmbedding:
    sizes = config.transformer
    positions: SinusoidalPositions | LearnedPositions | None = None
    if sizes.positions == "sinusoidal":
        positions = SinusoidalPositions(sizes.width)
    elif sizes.positions == "learned":
        positions = LearnedPositions(sizes.max_length, sizes.width)
    return TokenEmbedding(tokens, positions, scale=scale, norm=norm, dropout=config.dropout)


def _first_norm(config: ModelConfig, *, bert: bool) -> nn.Module | None:
    """Of the embedding, which BERT has where the norms come last."""
    wanted = config.transformer.embedding_norm or (bert and not config.transformer.pre_norm)
    return _norm(config) if wanted else None


def _stack(
    config: ModelConfig,
    own: OwnCode,
    layers: int,
    *,
    causal: bool,
    memory_features: int | None = None,
) -> TransformerStack:
    sizes = config.transformer
    blocks = [
        TransformerBlock(
            sizes.width,
            sizes.heads,
            feed_forward=sizes.feed_forward,
            memory_features=memory_features,
            key_value_heads=sizes.key_value_heads,
            normalize=normalization(config, own),
            qk_norm=sizes.qk_norm,
            activation=sizes.activation,
            norm=sizes.norm,
            pre_norm=sizes.pre_norm,
            dropout=config.dropout,
            eps=sizes.eps,
        )
        for _ in range(layers)
    ]
    relative = None
    if sizes.positions == "t5":
        relative = RelativePositions(sizes.heads, causal=causal, std=sizes.width**-0.5)
    return TransformerStack(
        blocks,
        final_norm=_norm(config) if sizes.pre_norm else None,
        causal=causal,
        window=sizes.window,
        rotary=RotaryPositions(sizes.width // sizes.heads) if sizes.positions == "rotary" else None,
        alibi=sizes.positions == "alibi",
        relative=relative,
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
