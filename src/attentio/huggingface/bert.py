"""BertForMaskedLM and `MaskedLM`.

The row of segment 0, which BERT adds at every position, is added to the positions when read; it is zero when written.
"""

from typing import Any

import torch

from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.huggingface.names import Entry, Tensors, layer, load_theirs, to_theirs
from attentio.huggingface.options import ACTIVATION_NAMES, Theirs, check_ours, eps_of, shape_of
from attentio.layers.positions import LearnedPositions
from attentio.models.masked_lm import MaskedLM
from attentio.models.transformer_presets import masked_lm

POSITIONS = "bert.embeddings.position_embeddings.weight"
SEGMENTS = "bert.embeddings.token_type_embeddings.weight"
BIAS, UNTIED_BIAS = "cls.predictions.bias", "cls.predictions.decoder.bias"


def config(model: MaskedLM) -> dict[str, Any]:
    """What `config.json` says of our model.

    Raises:
        AttentioError: an option that BERT does not have.
    """
    check_ours("BERT", model.embedding, model.stack, positions="learned", pre_norm=False)
    shape = shape_of(model.stack)
    (eps,) = eps_of(model)
    positions = model.embedding.positions
    assert isinstance(positions, LearnedPositions)
    return {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": model.embedding.tokens.num_embeddings,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward,
        "hidden_act": ACTIVATION_NAMES[shape.activation],
        "hidden_dropout_prob": shape.dropout,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": positions.table.num_embeddings,
        "type_vocab_size": 2,
        "layer_norm_eps": eps,
        "tie_word_embeddings": model.output.weight is model.embedding.tokens.weight,
    }


def vocabularies(model: MaskedLM) -> tuple[int, ...]:
    """How many entries the tokenizers may have at most, as many as there are tokenizers."""
    return (model.embedding.tokens.num_embeddings,)


def tensors(model: MaskedLM) -> Tensors:
    """What `model.safetensors` holds of our model."""
    found = to_theirs(model, _entries(model))
    found[SEGMENTS] = torch.zeros(2, model.dense.in_features)
    if UNTIED_BIAS in found:  # older versions read the other, whether tied or not
        found[BIAS] = found[UNTIED_BIAS].clone()
    return found


def model_config(theirs: Theirs) -> ModelConfig:
    """What `config.json` says, as our configuration has it.

    Raises:
        AttentioError: something that our model does not have, or a value that cannot be.
    """
    theirs.must_be(is_decoder=False, add_cross_attention=False, position_embedding_type="absolute")
    return ModelConfig(
        type="masked-lm",
        encoder_layers=theirs.count("num_hidden_layers"),
        dropout=theirs.number("hidden_dropout_prob", 0.1),
        transformer=TransformerConfig(
            width=theirs.count("hidden_size"),
            heads=theirs.count("num_attention_heads"),
            feed_forward=theirs.count("intermediate_size"),
            eps=theirs.number("layer_norm_eps", 1e-12),
            activation=theirs.activation("hidden_act"),
            positions="learned",
            max_length=theirs.count("max_position_embeddings"),
            tied=theirs.flag("tie_word_embeddings", True),
        ),
    )


def build(theirs: Theirs) -> MaskedLM:
    """Our model of the shape that `config.json` says, its weights yet to be filled in; raises as `model_config`."""
    return masked_lm(model_config(theirs), vocabulary=theirs.count("vocab_size"))


def fill(model: MaskedLM, found: Tensors, source: str) -> None:
    """Put the tensors of `model.safetensors` into the model that `build` made."""
    found = {_modern(name): tensor for name, tensor in found.items()}
    if POSITIONS in found and SEGMENTS in found:
        found[POSITIONS] = found[POSITIONS] + found[SEGMENTS][0]
    if BIAS in found:
        found.setdefault(UNTIED_BIAS, found[BIAS])
    load_theirs(model, found, _entries(model), blocks="bert.encoder.layer.", source=source)


def _modern(name: str) -> str:
    """The tensor's name as it is written today: Google's first conversions say gamma and beta."""
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name


def _entries(model: MaskedLM) -> list[Entry]:
    embeddings, head = "bert.embeddings", "cls.predictions"
    tied = model.output.weight is model.embedding.tokens.weight
    words = f"{embeddings}.word_embeddings.weight"
    found = [
        Entry("embedding.tokens.weight", (words,)),
        Entry("embedding.positions.table.weight", (POSITIONS,)),
        *layer("embedding.norm", f"{embeddings}.LayerNorm"),
        *layer("dense", f"{head}.transform.dense"),
        *layer("norm", f"{head}.transform.LayerNorm"),
        Entry("output.weight", (words if tied else f"{head}.decoder.weight",)),
        Entry("output.bias", (BIAS if tied else UNTIED_BIAS,)),
    ]
    for i in range(len(model.stack.blocks)):
        ours, theirs = f"stack.blocks.{i}", f"bert.encoder.layer.{i}"
        queries_keys_values = (f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
        found += [
            *layer(f"{ours}.self_attention.queries_keys_values", *queries_keys_values),
            *layer(f"{ours}.self_attention.output", f"{theirs}.attention.output.dense"),
            *layer(f"{ours}.self_attention_norm", f"{theirs}.attention.output.LayerNorm"),
            *layer(f"{ours}.feed_forward.up", f"{theirs}.intermediate.dense"),
            *layer(f"{ours}.feed_forward.down", f"{theirs}.output.dense"),
            *layer(f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm"),
        ]
    return found
