"""MarianMTModel and `EncoderDecoder` of two Transformers."""

from typing import Any

from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.errors import AttentioError
from attentio.huggingface.names import Entry, Tensors, layer, load_theirs, to_theirs
from attentio.huggingface.options import ACTIVATION_NAMES, Theirs, check_ours, eps_of, shape_of
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.transformer import TransformerDecoder, TransformerEncoder
from attentio.models.transformer_presets import transformer_decoder, transformer_encoder

POSITIONS = 1024
"""Tokens that a written model takes: sinusoidal positions have no end here, but transformers makes a table of them."""

EPS = 1e-5
"""Of every norm: their configuration has no key for it."""

BIAS, SHARED = "final_logits_bias", "model.shared.weight"


def config(model: EncoderDecoder) -> dict[str, Any]:
    """What `config.json` says of our model.

    Raises:
        AttentioError: an option that Marian does not have.
    """
    encoder, decoder = _sides(model)
    for side in (encoder, decoder):
        check_ours("Marian", side.embedding, side.stack, positions="sinusoidal", pre_norm=False)
    if other := eps_of(model) - {EPS}:
        raise AttentioError(
            f"Marian cannot hold model.transformer.eps: {other.pop():g}, only {EPS:g}; train with that to export it"
        )
    reads, writes = shape_of(encoder.stack), shape_of(decoder.stack)
    return {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "is_encoder_decoder": True,
        "vocab_size": encoder.embedding.tokens.num_embeddings,
        "decoder_vocab_size": decoder.embedding.tokens.num_embeddings,
        "share_encoder_decoder_embeddings": _shared(model),
        "tie_word_embeddings": decoder.output.weight is decoder.embedding.tokens.weight,
        "d_model": reads.width,
        "encoder_layers": reads.layers,
        "decoder_layers": writes.layers,
        "encoder_attention_heads": reads.heads,
        "decoder_attention_heads": writes.heads,
        "encoder_ffn_dim": reads.feed_forward,
        "decoder_ffn_dim": writes.feed_forward,
        "activation_function": ACTIVATION_NAMES[reads.activation],
        "dropout": reads.dropout,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "max_position_embeddings": POSITIONS,
        "scale_embedding": encoder.embedding.scale != 1.0,
    }


def vocabularies(model: EncoderDecoder) -> tuple[int, ...]:
    """How many entries the tokenizers may have at most, as many as there are tokenizers."""
    return tuple(side.embedding.tokens.num_embeddings for side in _sides(model))


def tensors(model: EncoderDecoder) -> Tensors:
    """What `model.safetensors` holds of our model."""
    found = to_theirs(model, _entries(model))
    found[BIAS] = found[BIAS].unsqueeze(0)
    return found


def model_config(theirs: Theirs, side: str = "encoder") -> ModelConfig:
    """What `config.json` says, as our configuration has it. side: whose heads and feed-forward layers are meant, as
    those of the decoder may have other sizes.

    Raises:
        AttentioError: something that our model does not have, or a value that cannot be.
    """
    theirs.must_be(
        normalize_before=False,
        normalize_embedding=False,
        add_final_layer_norm=False,
        static_position_embeddings=True,
    )
    return ModelConfig(
        encoder="transformer",
        decoder="transformer",
        encoder_layers=theirs.count("encoder_layers"),
        decoder_layers=theirs.count("decoder_layers"),
        dropout=theirs.number("dropout", 0.1),
        transformer=TransformerConfig(
            width=theirs.count("d_model"),
            heads=theirs.count(f"{side}_attention_heads"),
            feed_forward=theirs.count(f"{side}_ffn_dim"),
            activation=theirs.activation("activation_function"),
            tied=theirs.flag("tie_word_embeddings", True),
            scale_embedding=theirs.flag("scale_embedding", False),
        ),
    )


def build(theirs: Theirs) -> EncoderDecoder:
    """Our model of the shape that `config.json` says, its weights yet to be filled in; raises as `model_config`."""
    vocabulary, shared = theirs.count("vocab_size"), shares(theirs)
    encoder = transformer_encoder(model_config(theirs), vocabulary=vocabulary)
    decoder = transformer_decoder(
        model_config(theirs, "decoder"),
        vocabulary=vocabulary if shared else theirs.count("decoder_vocab_size", vocabulary),
        memory_features=theirs.count("d_model"),
        tokens=encoder.embedding.tokens if shared else None,
    )
    return EncoderDecoder(encoder, decoder)


def shares(theirs: Theirs) -> bool:
    """Whether both sides have one embedding: transformers shares nothing where it may not tie the output layer."""
    return theirs.flag("share_encoder_decoder_embeddings", True) and theirs.flag("tie_word_embeddings", True)


def fill(model: EncoderDecoder, found: Tensors, source: str) -> None:
    """Put the tensors of `model.safetensors` into the model that `build` made."""
    found = dict(found)
    if BIAS in found:
        found[BIAS] = found[BIAS].flatten()
    for side in ("encoder", "decoder"):  # shared, though the output layer is not: only old versions did that
        if SHARED in found:
            found.setdefault(f"model.{side}.embed_tokens.weight", found[SHARED])
    load_theirs(model, found, _entries(model), blocks=("model.encoder.layers.", "model.decoder.layers."), source=source)


def _sides(model: EncoderDecoder) -> tuple[TransformerEncoder, TransformerDecoder]:
    encoder, decoder = model.encoder, model.decoder
    for name, side, kind in (("encoder", encoder, TransformerEncoder), ("decoder", decoder, TransformerDecoder)):
        if not isinstance(side, kind):
            raise AttentioError(
                f"Marian cannot hold model.{name}: recurrent, only transformer; train with that to export it"
            )
    return encoder, decoder  # type: ignore[return-value]


def _shared(model: EncoderDecoder) -> bool:
    encoder, decoder = _sides(model)
    tokens = decoder.embedding.tokens.weight
    return encoder.embedding.tokens.weight is tokens and decoder.output.weight is tokens


def _entries(model: EncoderDecoder) -> list[Entry]:
    _, decoder = _sides(model)
    tied = decoder.output.weight is decoder.embedding.tokens.weight
    source, target = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
    if _shared(model):
        source = target = SHARED
    found = [
        Entry("encoder.embedding.tokens.weight", (source,)),
        Entry("decoder.embedding.tokens.weight", (target,)),
        Entry("decoder.output.weight", (target if tied else "lm_head.weight",)),
        Entry("decoder.output.bias", (BIAS,)),
    ]
    for side in ("encoder", "decoder"):
        for i in range(len(getattr(model, side).stack.blocks)):
            found += _block(f"{side}.stack.blocks.{i}", f"model.{side}.layers.{i}", cross=side == "decoder")
    return found


def _block(ours: str, theirs: str, *, cross: bool) -> list[Entry]:
    queries_keys_values = (f"{theirs}.self_attn.{part}_proj" for part in "qkv")
    found = [
        *layer(f"{ours}.self_attention.queries_keys_values", *queries_keys_values),
        *layer(f"{ours}.self_attention.output", f"{theirs}.self_attn.out_proj"),
        *layer(f"{ours}.self_attention_norm", f"{theirs}.self_attn_layer_norm"),
        *layer(f"{ours}.feed_forward.up", f"{theirs}.fc1"),
        *layer(f"{ours}.feed_forward.down", f"{theirs}.fc2"),
        *layer(f"{ours}.feed_forward_norm", f"{theirs}.final_layer_norm"),
    ]
    if cross:
        keys_values = (f"{theirs}.encoder_attn.{part}_proj" for part in "kv")
        found += [
            *layer(f"{ours}.cross_attention.queries", f"{theirs}.encoder_attn.q_proj"),
            *layer(f"{ours}.cross_attention.keys_values", *keys_values),
            *layer(f"{ours}.cross_attention.output", f"{theirs}.encoder_attn.out_proj"),
            *layer(f"{ours}.cross_attention_norm", f"{theirs}.encoder_attn_layer_norm"),
        ]
    return found
