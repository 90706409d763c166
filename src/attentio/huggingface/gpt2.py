"""GPT2LMHeadModel and `CausalLM`."""

from typing import Any

from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.huggingface.names import Entry, Tensors, layer, load_theirs, to_theirs
from attentio.huggingface.options import ACTIVATION_NAMES, Theirs, check_ours, eps_of, shape_of
from attentio.layers.positions import LearnedPositions
from attentio.models.causal_lm import CausalLM
from attentio.models.transformer_presets import causal_lm


def config(model: CausalLM) -> dict[str, Any]:
    """What `config.json` says of our model.

    Raises:
        AttentioError: an option that GPT-2 does not have.
    """
    check_ours("GPT-2", model.embedding, model.stack, positions="learned", pre_norm=True)
    shape = shape_of(model.stack)
    (eps,) = eps_of(model)
    positions = model.embedding.positions
    assert isinstance(positions, LearnedPositions)
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": model.embedding.tokens.num_embeddings,
        "n_positions": positions.table.num_embeddings,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.feed_forward,
        "activation_function": ACTIVATION_NAMES[shape.activation],
        "resid_pdrop": shape.dropout,
        "embd_pdrop": shape.dropout,
        "attn_pdrop": 0.0,
        "layer_norm_epsilon": eps,
        "tie_word_embeddings": model.output.weight is model.embedding.tokens.weight,
    }


def vocabularies(model: CausalLM) -> tuple[int, ...]:
    """How many entries the tokenizers may have at most, as many as there are tokenizers."""
    return (model.embedding.tokens.num_embeddings,)


def tensors(model: CausalLM) -> Tensors:
    """What `model.safetensors` holds of our model."""
    return to_theirs(model, _entries(model))


def model_config(theirs: Theirs) -> ModelConfig:
    """What `config.json` says, as our configuration has it.

    Raises:
        AttentioError: something that our model does not have, or a value that cannot be.
    """
    theirs.must_be(add_cross_attention=False, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False)
    width = theirs.count("n_embd")
    return ModelConfig(
        type="causal-lm",
        decoder_layers=theirs.count("n_layer"),
        dropout=theirs.number("resid_pdrop", 0.1),
        transformer=TransformerConfig(
            width=width,
            heads=theirs.count("n_head"),
            feed_forward=theirs.count("n_inner", 4 * width),
            eps=theirs.number("layer_norm_epsilon", 1e-5),
            activation=theirs.activation("activation_function"),
            pre_norm=True,
            positions="learned",
            max_length=theirs.count("n_positions"),
            tied=theirs.flag("tie_word_embeddings", True),
        ),
    )


def build(theirs: Theirs) -> CausalLM:
    """Our model of the shape that `config.json` says, its weights yet to be filled in; raises as `model_config`."""
    return causal_lm(model_config(theirs), vocabulary=theirs.count("vocab_size"))


def fill(model: CausalLM, found: Tensors, source: str) -> None:
    """Put the tensors of `model.safetensors` into the model that `build` made."""
    if "wte.weight" in found:  # written without the head, as OpenAI's own
        found = {f"transformer.{name}": tensor for name, tensor in found.items()}
    load_theirs(model, found, _entries(model), blocks="transformer.h.", source=source)


def _entries(model: CausalLM) -> list[Entry]:
    """Theirs are `Conv1D`, linear layers whose weight stands [inputs, outputs]."""
    tied = model.output.weight is model.embedding.tokens.weight
    found = [
        Entry("embedding.tokens.weight", ("transformer.wte.weight",)),
        Entry("embedding.positions.table.weight", ("transformer.wpe.weight",)),
        *layer("stack.final_norm", "transformer.ln_f"),
        Entry("output.weight", ("transformer.wte.weight" if tied else "lm_head.weight",)),
    ]
    for i in range(len(model.stack.blocks)):
        ours, theirs = f"stack.blocks.{i}", f"transformer.h.{i}"
        found += [
            *layer(f"{ours}.self_attention_norm", f"{theirs}.ln_1"),
            *layer(f"{ours}.self_attention.queries_keys_values", f"{theirs}.attn.c_attn", transposed=True),
            *layer(f"{ours}.self_attention.output", f"{theirs}.attn.c_proj", transposed=True),
            *layer(f"{ours}.feed_forward_norm", f"{theirs}.ln_2"),
            *layer(f"{ours}.feed_forward.up", f"{theirs}.mlp.c_fc", transposed=True),
            *layer(f"{ours}.feed_forward.down", f"{theirs}.mlp.c_proj", transposed=True),
        ]
    return found
