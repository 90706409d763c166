"""What cannot be exchanged is told on one line that names it, and nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_models import HEADS, SAVED, bert, gpt2, letters, marian, our_bert, our_gpt2, our_marian, save
from safetensors.torch import load_file, save_file

from attentio.attention.entmax import Sparsemax
from attentio.config.schema import ModelConfig
from attentio.errors import AttentioError
from attentio.huggingface.directory import read, write
from attentio.models import presets
from attentio.runs.load import load
from attentio.text.pretrained import PretrainedTokenizer
from attentio.text.tokenizer import Tokenizer


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(AttentioError) as raised:
        action()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (
            our_bert,
            {"positions": "sinusoidal"},
            "BERT cannot hold model.transformer.positions: sinusoidal, only learned",
        ),
        (our_bert, {"positions": "none"}, "model.transformer.positions: none, only learned"),
        (our_bert, {"pre_norm": True}, "model.transformer.pre_norm: true, only false"),
        (our_bert, {"activation": "swiglu"}, "model.transformer.activation: swiglu, only relu or relu-squared or gelu"),
        (
            our_gpt2,
            {"heads": 2, "positions": "rotary"},
            "GPT-2 cannot hold model.transformer.positions: rotary, only learned",
        ),
        (our_gpt2, {"positions": "alibi"}, "model.transformer.positions: alibi, only learned"),
        (our_gpt2, {"positions": "t5"}, "model.transformer.positions: t5, only learned"),
        (our_gpt2, {"qk_norm": True}, "model.transformer.qk_norm: true, only false"),
        (our_gpt2, {"norm": "rms"}, "model.transformer.norm: rms, only layer"),
        (our_gpt2, {"pre_norm": False}, "model.transformer.pre_norm: false, only true"),
        (our_gpt2, {"embedding_norm": True}, "model.transformer.embedding_norm: true, only false"),
        (our_gpt2, {"key_value_heads": 1}, f"model.transformer.key_value_heads: 1, only {HEADS}"),
        (our_gpt2, {"window": 5}, "model.transformer.window: 5, only null"),
        (
            our_marian,
            {"positions": "learned"},
            "Marian cannot hold model.transformer.positions: learned, only sinusoidal",
        ),
        (our_marian, {"pre_norm": True}, "model.transformer.pre_norm: true, only false"),
        (our_marian, {"eps": 0.01}, "Marian cannot hold model.transformer.eps: 0.01, only 1e-05"),
        (our_marian, {"norm": "rms"}, "model.transformer.norm: rms, only layer"),
    ],
)
def test_an_option_that_theirs_does_not_have_is_named(
    make: Any, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert said in refused(lambda: write(make(**options), [letters()], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_another_normalization_is_refused(tmp_path: Path) -> None:
    model = our_gpt2()
    model.stack.blocks[0].self_attention.normalize = Sparsemax()
    assert "GPT-2 cannot hold model.normalize, only softmax" in refused(
        lambda: write(model, [letters()], tmp_path / "a")
    )


def test_a_recurrent_model_is_refused(tmp_path: Path) -> None:
    config = ModelConfig(embedding=5, hidden=6, encoder_hidden=3)
    model = presets.plain(config, presets.recurrent_encoder(config, vocabulary=7), vocabulary=7)
    message = refused(lambda: write(model, [letters()], tmp_path / "out"))
    assert "Marian cannot hold model.encoder: recurrent, only transformer" in message
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_of_jamo_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    jamo = Tokenizer.train(["가나다"], kind="char", jamo=True)
    assert "jamo" in refused(lambda: write(our_gpt2(), [jamo], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("make", "values", "said"),
    [
        (bert, {"model_type": "llama"}, "model_type 'llama' cannot be read; what can be read is bert, gpt2, marian"),
        (bert, {"model_type": None}, "model_type None"),
        (bert, {"is_decoder": True}, "is_decoder is True; only False"),
        (bert, {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        (bert, {"hidden_act": "mish"}, "hidden_act is 'mish'"),
        (bert, {"hidden_act": ["gelu"]}, "hidden_act is ['gelu']"),
        (bert, {"hidden_size": "12"}, "hidden_size must be a whole number of at least 1, got '12'"),
        (bert, {"num_attention_heads": 5}, "multiple of the number of heads"),
        (bert, {"num_hidden_layers": None}, "has no num_hidden_layers"),
        (bert, {"num_hidden_layers": 1}, "bert.encoder.layer.1."),
        (bert, {"num_hidden_layers": 3}, "has no tensor bert.encoder.layer.2."),
        (bert, {"layer_norm_eps": -1}, "layer_norm_eps must be a number of at least 0, got -1"),
        (bert, {"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false"),
        (gpt2, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        (gpt2, {"n_inner": 31}, "mlp.c_fc.weight is [12, 48], but config.json asks for [12, 31]"),
        (gpt2, {"n_positions": 7}, "wpe.weight is [19, 12], but config.json asks for [7, 12]"),
        (marian, {"normalize_before": True}, "normalize_before is True"),
        (marian, {"d_model": 13}, "width must be even"),
        (marian, {"decoder_start_token_id": None}, "decoder_start_token_id"),
        (marian, {"decoder_start_token_id": 10**6}, "sequences begin with 1000000"),
        (marian, {"num_beams": "many"}, "num_beams must be a whole number of at least 1, got 'many'"),
        (bert, {"vocab_size": 10**12}, "numbers, but the weights hold"),
        (gpt2, {"n_layer": 10**9}, "layers must be from 1 to 1,000"),
        (bert, {"hidden_size": 10**12}, "width must be from 1 to 65,536"),
        (bert, {"layer_norm_eps": float("inf")}, "layer_norm_eps must be a number of at least 0, got inf"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named(
    make: Any, values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    save(make(), tmp_path)
    (tmp_path / "generation_config.json").unlink(missing_ok=True)
    set_config(tmp_path, **values)
    message = refused(lambda: read(tmp_path))
    assert said in message
    assert str(tmp_path) in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float, tmp_path: Path) -> None:
    path = save(bert(), tmp_path) / "model.safetensors"
    tensors = load_file(path)
    tensors["bert.embeddings.word_embeddings.weight"][1, 1] = value
    save_file(tensors, path, metadata={"format": "pt"})
    message = refused(lambda: load(tmp_path))
    assert "the weights are not finite (embedding.tokens.weight)" in message


def test_half_a_character_is_refused_by_every_tokenizer(tmp_path: Path) -> None:
    save(bert(), tmp_path)
    tokenizer = PretrainedTokenizer.read(tmp_path)
    assert "half of a surrogate pair" in refused(lambda: tokenizer.encode("a \udcff"))


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    theirs = save(bert(), tmp_path)
    torch.save(load_file(theirs / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    message = refused(lambda: read(tmp_path))
    assert "model.safetensors" in message
    assert "pickle" in message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_or_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    path = save(gpt2(), tmp_path) / name
    path.write_bytes(path.read_bytes()[:-9])
    assert name in refused(lambda: read(tmp_path))
    path.unlink()
    assert name in refused(lambda: read(tmp_path))


def test_an_index_without_its_parts_is_refused(tmp_path: Path) -> None:
    save(gpt2(), tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": []}')
    assert "has no weight_map" in refused(lambda: read(tmp_path))
    index.write_text('{"weight_map": {"transformer.wte.weight": "../elsewhere.safetensors"}}')
    assert f"{tmp_path} has no elsewhere.safetensors" in refused(lambda: read(tmp_path))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    path = save(marian(), tmp_path) / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.decoder.layers.0.encoder_attn.k_proj.bias"]
    save_file(tensors, path)
    assert "has no tensor model.decoder.layers.0.encoder_attn.k_proj.bias" in refused(lambda: read(tmp_path))


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    save(gpt2(vocab_size=SAVED - 1), tmp_path)
    assert f"the tokenizer has {SAVED} entries, the model {SAVED - 1}" in refused(lambda: read(tmp_path))
