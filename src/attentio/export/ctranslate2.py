"""`EncoderDecoder` of two Transformers as a model of CTranslate2, a translation engine in C++.

The layers of theirs are named by the library's own specification classes; here ours are put into them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attentio.errors import AttentioError, extra
from attentio.layers.feed_forward import FeedForward
from attentio.layers.linear import Linear
from attentio.layers.multihead import CrossAttention, SelfAttention
from attentio.layers.positions import LearnedPositions, SinusoidalPositions, sinusoids
from attentio.layers.token_embedding import TokenEmbedding
from attentio.layers.transformer_block import TransformerBlock
from attentio.layers.transformer_stack import TransformerStack
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.transformer import TransformerDecoder, TransformerEncoder
from attentio.text.protocol import AnyTokenizer

with extra("fast"):
    from ctranslate2.specs.common_spec import Activation
    from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec, TransformerSpec

Type = Literal["float32", "int8"]
"""Of the weights. int8: matrices in 8 bits, with a scale for each row."""

POSITIONS = 4096
"""Tokens that a written model takes where ours has no limit: theirs reads positions from a table."""

NEVER = -1e9
"""What the bias of an output that must not be said is."""

VOCABULARIES = ("shared_vocabulary.json", "source_vocabulary.json", "target_vocabulary.json")
_ACTIVATIONS = {
    "relu": Activation.RELU,
    "relu-squared": Activation.RELU,
    "gelu": Activation.GELU,
    "gelu-tanh": Activation.GELUTanh,
    "silu": Activation.SWISH,
    "swiglu": Activation.SWISH,
}
_GATED = ("relu-squared", "swiglu")
"""Activations that are the product of two layers there: relu(x)^2 is relu(x) * x."""


def write(
    model: EncoderDecoder,
    source: AnyTokenizer,
    target: AnyTokenizer,
    folder: Path,
    *,
    silent: Sequence[int] = (),
    type: Type = "float32",
) -> None:
    """Write our model so that `ctranslate2.Translator` opens it, which then wants tokens and gives tokens.

    Sources are given without their end token. silent: ids of the target that are never said; their bias says so.

    Raises:
        AttentioError: a part or an option that theirs does not have; nothing is written then.
    """
    spec = _specification(*_parts(model), silent)
    read, written = vocabularies(model, source, target)
    spec.register_source_vocabulary(read)
    spec.register_target_vocabulary(written)
    for key, token in (("bos_token", target.begin), ("eos_token", target.end), ("unk_token", target.unknown)):
        if token is not None:
            setattr(spec.config, key, target.tokens([token])[0])
    spec.config.decoder_start_token = spec.config.bos_token
    spec.validate()
    spec.optimize(quantization=type)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def vocabularies(model: EncoderDecoder, source: AnyTokenizer, target: AnyTokenizer) -> tuple[list[str], list[str]]:
    """How a written model calls the rows of its embeddings, of the source and of the target."""
    encoder, decoder = _parts(model)
    return _rows(source, encoder.embedding), _rows(target, decoder.embedding)


def most_positions(model: EncoderDecoder) -> int:
    """Tokens that a written model takes, in a source or an output, its end counted."""
    positions = [part.embedding.positions for part in _parts(model)]
    return min([POSITIONS, *(each.table.num_embeddings for each in positions if isinstance(each, LearnedPositions))])


def _parts(model: EncoderDecoder) -> tuple[TransformerEncoder, TransformerDecoder]:
    encoder, decoder = model.encoder, model.decoder
    for name, part, kind in (("encoder", encoder, TransformerEncoder), ("decoder", decoder, TransformerDecoder)):
        if not isinstance(part, kind):
            raise _refusal(f"model.{name}", "recurrent", "transformer")
    return encoder, decoder  # type: ignore[return-value]


def _rows(tokenizer: AnyTokenizer, embedding: TokenEmbedding) -> list[str]:
    """A name for each row: its token, but for a row without one, or with that of a row before it."""
    count = embedding.tokens.num_embeddings
    tokens = [*tokenizer.tokens(range(tokenizer.size)), *[""] * (count - tokenizer.size)]
    first = {token: i for i, token in reversed(list(enumerate(tokens))) if token}
    return [token if first.get(token) == i else f"<row {i}>" for i, token in enumerate(tokens)]


def _specification(encoder: TransformerEncoder, decoder: TransformerDecoder, silent: Sequence[int]) -> TransformerSpec:
    heads = decoder.stack.blocks[0].self_attention.heads
    spec = TransformerSpec(
        TransformerEncoderSpec(**_options(encoder.stack)),
        # Attention is that of the last layer, mean over heads, as ours.
        TransformerDecoderSpec(**_options(decoder.stack), alignment_layer=-1, alignment_heads=heads),
    )
    spec.config.layer_norm_epsilon = encoder.stack.blocks[0].feed_forward_norm.eps
    for ours, theirs, tokens in (
        (encoder, spec.encoder, spec.encoder.embeddings[0]),
        (decoder, spec.decoder, spec.decoder.embeddings),
    ):
        tokens.weight = _numbers(ours.embedding.tokens.weight)
        theirs.scale_embeddings = ours.embedding.scale
        if ours.stack.rotary is None:
            theirs.position_encodings.encodings = _positions(ours.embedding)
        if ours.stack.final_norm is not None:
            _set_norm(theirs.layer_norm, ours.stack.final_norm)
        for block, layer in zip(ours.stack.blocks, theirs.layer, strict=True):
            _set_block(layer, block)
    spec.decoder.projection.weight = _numbers(decoder.output.weight)
    spec.decoder.projection.bias = _numbers(decoder.output.bias)
    spec.decoder.projection.bias[list(silent)] = NEVER
    return spec


def _options(stack: TransformerStack) -> dict[str, Any]:
    """What the specification of a stack is made with."""
    if stack.alibi:
        raise _refusal("model.transformer.positions", "alibi", "sinusoidal, learned, rotary or none")
    if stack.relative is not None:
        raise _refusal("model.transformer.positions", "t5", "sinusoidal, learned, rotary or none")
    if stack.window is not None:
        raise _refusal("model.transformer.window", str(stack.window), "null")
    block = stack.blocks[0]
    assert isinstance(block, TransformerBlock)
    if block.self_attention.normalize is not None:
        raise _refusal("model.normalize", repr(block.self_attention.normalize), "softmax")
    if block.self_attention.qk_norm is not None:
        raise _refusal("model.transformer.qk_norm", "true", "false")
    activation = block.feed_forward.activation
    rotary = {} if stack.rotary is None else {"rotary_dim": stack.rotary.head_features, "rotary_interleave": False}
    return {
        "num_layers": len(stack.blocks),
        "num_heads": block.self_attention.heads,
        "pre_norm": block.pre_norm,
        "activation": _ACTIVATIONS[activation],
        "ffn_glu": activation in _GATED,
        "rms_norm": isinstance(block.feed_forward_norm, nn.RMSNorm),
        **rotary,
    }


def _refusal(option: str, value: str, allowed: str) -> AttentioError:
    return AttentioError(f"CTranslate2 cannot hold {option}: {value}, only {allowed}; train with that to use it there")


def _positions(embedding: TokenEmbedding) -> Tensor:
    """The vector of each position. Without positions zeros: theirs would add sines of its own."""
    if isinstance(embedding.positions, LearnedPositions):
        return _numbers(embedding.positions.table.weight)
    width = embedding.tokens.embedding_dim
    if isinstance(embedding.positions, SinusoidalPositions):
        return sinusoids(POSITIONS, width).float()
    return torch.zeros(POSITIONS, width)


def _set_block(layer: Any, block: TransformerBlock) -> None:
    own, cross = block.self_attention, block.cross_attention
    _set_linear(layer.self_attention.linear[0], own.queries_keys_values, _for_each_head(own, queries=True))
    _set_linear(layer.self_attention.linear[1], own.output)
    _set_norm(layer.self_attention.layer_norm, block.self_attention_norm)
    if cross is not None:
        _set_linear(layer.attention.linear[0], cross.queries)
        _set_linear(layer.attention.linear[1], cross.keys_values, _for_each_head(cross, queries=False))
        _set_linear(layer.attention.linear[2], cross.output)
        _set_norm(layer.attention.layer_norm, block.cross_attention_norm)
    _set_feed_forward(layer.ffn, block.feed_forward)
    _set_norm(layer.ffn.layer_norm, block.feed_forward_norm)


def _set_feed_forward(theirs: Any, ours: FeedForward) -> None:
    _set_linear(theirs.linear_0, ours.up if ours.gate is None else ours.gate)
    if ours.activation in _GATED:
        _set_linear(theirs.linear_0_noact, ours.up)
    _set_linear(theirs.linear_1, ours.down)


def _for_each_head(attention: SelfAttention | CrossAttention, *, queries: bool) -> Tensor:
    """The rows of a projection with keys and values that several heads share, once for each of these heads.

    queries: whether those of the queries stand before them.
    """
    heads, groups, features = attention.heads, attention.key_value_heads, attention.head_features
    first = torch.arange(heads if queries else 0)
    shared = torch.arange(2 * groups).repeat_interleave(heads // groups) + len(first)
    rows = torch.cat([first, shared])[:, None] * features + torch.arange(features)
    return rows.flatten()


def _set_linear(theirs: Any, ours: Linear, rows: Tensor | None = None) -> None:
    chosen = slice(None) if rows is None else rows
    theirs.weight = _numbers(ours.weight)[chosen]
    if ours.bias is not None:
        theirs.bias = _numbers(ours.bias)[chosen]


def _set_norm(theirs: Any, ours: nn.Module | None) -> None:
    assert isinstance(ours, nn.LayerNorm | nn.RMSNorm)
    theirs.gamma = _numbers(ours.weight)
    if isinstance(ours, nn.LayerNorm):
        theirs.beta = _numbers(ours.bias)


def _numbers(tensor: Tensor | None) -> Tensor:
    """A copy: theirs multiplies what it is given in place where it rounds to int8."""
    assert tensor is not None
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
