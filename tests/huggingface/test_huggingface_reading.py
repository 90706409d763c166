"""Models that transformers saved give the same logits here."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_models import (
    POSITIONS,
    TARGET_VOCABULARY,
    VOCABULARY,
    assert_same,
    bert,
    gpt2,
    marian,
    rows,
    save,
)
from safetensors.torch import load_file, save_file

from attentio.huggingface.directory import read

ACTIVATIONS = ["relu", "relu2", "gelu", "gelu_new", "silu"]


@pytest.mark.parametrize(
    "options",
    [{}, {"tie_word_embeddings": False}, {"layer_norm_eps": 0.1}, *({"hidden_act": name} for name in ACTIVATIONS)],
    ids=str,
)
@torch.no_grad()
def test_bert_says_the_same(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    theirs = bert(**options)
    settings, model, _ = read(save(theirs, tmp_path))
    assert (settings.config.type, settings.facts.max_length, model.training) == ("masked-lm", POSITIONS, False)
    tokens, lengths, mask = rows()
    expected = theirs(tokens, attention_mask=mask).logits
    assert_same(model(tokens, lengths)[mask.bool()], expected[mask.bool()])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie_word_embeddings": False},
        {"n_inner": 29},
        {"layer_norm_epsilon": 0.1},
        *({"activation_function": name} for name in ACTIVATIONS),
    ],
    ids=str,
)
@torch.no_grad()
def test_gpt2_says_the_same(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    theirs = gpt2(**options)
    settings, model, _ = read(save(theirs, tmp_path))
    assert (settings.config.type, settings.facts.max_length, model.training) == ("causal-lm", POSITIONS, False)
    tokens, _, _ = rows()
    assert_same(model(tokens), theirs(tokens).logits)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale_embedding": True},
        {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": TARGET_VOCABULARY},
        {"tie_word_embeddings": False},
        *({"activation_function": name} for name in [*ACTIVATIONS, "swish"]),
    ],
    ids=str,
)
@torch.no_grad()
def test_marian_says_the_same(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    theirs = marian(**options)
    settings, model, tokenizers = read(save(theirs, tmp_path))
    assert (settings.config.type, settings.facts.max_length, model.training) == ("encoder-decoder", POSITIONS, False)
    source, lengths, mask = rows()
    target = torch.randint(TARGET_VOCABULARY, (3, 5))
    expected = theirs(source, attention_mask=mask, decoder_input_ids=target).logits
    assert_same(model(source, lengths, target), expected)
    assert (tokenizers[1].begin, tokenizers[1].end) == (5, 3)


@torch.no_grad()
def test_tensors_in_several_files_are_read(seed: int, tmp_path: Path) -> None:
    theirs = gpt2()
    theirs.save_pretrained(tmp_path / "parts", max_shard_size="4KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    (tmp_path / "parts" / "tokenizer.json").write_bytes((save(theirs, tmp_path) / "tokenizer.json").read_bytes())
    tokens, _, _ = rows()
    assert_same(read(tmp_path / "parts").model(tokens), theirs(tokens).logits)


@torch.no_grad()
def test_half_precision_is_read_as_float32(seed: int, tmp_path: Path) -> None:
    theirs = gpt2().to(torch.bfloat16)
    model = read(save(theirs, tmp_path)).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    tokens, _, _ = rows()
    assert_same(model(tokens), theirs.float()(tokens).logits)


def rename(folder: Path, old: str, new: str) -> None:
    """Write the tensors under other names."""
    path = folder / "model.safetensors"
    save_file({name.replace(old, new): tensor for name, tensor in load_file(path).items()}, path)


@torch.no_grad()
def test_the_names_of_the_first_berts_are_known(seed: int, tmp_path: Path) -> None:
    theirs = bert()
    save(theirs, tmp_path)
    rename(tmp_path, "LayerNorm.weight", "LayerNorm.gamma")
    rename(tmp_path, "LayerNorm.bias", "LayerNorm.beta")
    tokens, lengths, mask = rows()
    expected = theirs(tokens, attention_mask=mask).logits
    assert_same(read(tmp_path).model(tokens, lengths)[mask.bool()], expected[mask.bool()])


@torch.no_grad()
def test_the_names_of_the_first_gpt2_are_known(seed: int, tmp_path: Path) -> None:
    theirs = gpt2()
    save(theirs, tmp_path)
    rename(tmp_path, "transformer.", "")
    tokens, _, _ = rows()
    assert_same(read(tmp_path).model(tokens), theirs(tokens).logits)


@torch.no_grad()
def test_configurations_of_old_versions_leave_defaults_out(seed: int, tmp_path: Path) -> None:
    theirs = marian(decoder_ffn_dim=17, decoder_attention_heads=3)
    save(theirs, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("tie_word_embeddings", "share_encoder_decoder_embeddings", "decoder_vocab_size", "is_decoder"):
        del config[key]
    config |= {"normalize_before": False, "static_position_embeddings": True, "num_beams": 7}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").unlink()
    settings, model, tokenizers = read(tmp_path)
    source, lengths, mask = rows()
    target = torch.randint(VOCABULARY, (3, 5))
    assert_same(model(source, lengths, target), theirs(source, attention_mask=mask, decoder_input_ids=target).logits)
    assert settings.facts.beam == 7
    assert (tokenizers[1].begin, tokenizers[1].end) == (5, 3)


def test_reading_uses_up_no_random_number(seed: int, tmp_path: Path) -> None:
    save(bert(), tmp_path)
    before = torch.get_rng_state()
    read(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_embeddings_shared_but_not_with_the_output_are_known(seed: int, tmp_path: Path) -> None:
    """As versions before 5 wrote them."""
    theirs = marian(tie_word_embeddings=False)
    theirs.model.encoder.embed_tokens.weight.copy_(theirs.model.shared.weight)
    theirs.model.decoder.embed_tokens.weight.copy_(theirs.model.shared.weight)
    path = save(theirs, tmp_path) / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.encoder.embed_tokens.weight"], tensors["model.decoder.embed_tokens.weight"]
    save_file(tensors, path)
    source, lengths, mask = rows()
    target = torch.randint(VOCABULARY, (3, 5))
    expected = theirs(source, attention_mask=mask, decoder_input_ids=target).logits
    assert_same(read(tmp_path).model(source, lengths, target), expected)
