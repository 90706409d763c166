"""Models of transformers as they are: the weights captured under sdpa are those that eager attention returns."""

from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

import attentio as at

VOCABULARY, WIDTH, HEADS = 61, 24, 6
BATCH, SOURCE, TARGET = 2, 7, 5
_SMALL: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_STACK = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": 16}
_BART: dict[str, Any] = {
    "d_model": WIDTH,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
_T5: dict[str, Any] = {"d_model": WIDTH, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": HEADS}

ENCODERS = {
    "bert": lambda: hf.BertModel(hf.BertConfig(**_SMALL, **_STACK)),
    "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**_SMALL, **_STACK)),
}
DECODERS = {
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**_SMALL, n_embd=WIDTH, n_layer=2, n_head=HEADS)),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_SMALL, **_STACK, num_key_value_heads=2)),
    "mistral": lambda: hf.MistralForCausalLM(
        hf.MistralConfig(**_SMALL, **_STACK, num_key_value_heads=3, sliding_window=4)
    ),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            **_SMALL,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            ffn_dim=16,
            word_embed_proj_dim=WIDTH,
        )
    ),
}
TRANSLATORS = {
    "t5": lambda: hf.T5ForConditionalGeneration(hf.T5Config(**_SMALL, **_T5, decoder_start_token_id=0)),
    "bart": lambda: hf.BartForConditionalGeneration(hf.BartConfig(**_SMALL, **_BART)),
    "marian": lambda: hf.MarianMTModel(hf.MarianConfig(**_SMALL, **_BART, decoder_vocab_size=VOCABULARY)),
}


def _make(name: str) -> Any:
    return {**ENCODERS, **DECODERS, **TRANSLATORS}[name]().eval()


def _inputs(name: str) -> dict[str, Tensor]:
    mask = torch.ones(BATCH, SOURCE, dtype=torch.long)
    if name in DECODERS:
        mask[1, :2] = 0
    else:
        mask[1, 5:] = 0
    inputs = {"input_ids": torch.randint(3, VOCABULARY, (BATCH, SOURCE)), "attention_mask": mask}
    if name in TRANSLATORS:
        inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (BATCH, TARGET))
    return inputs


def _returned(model: Any, inputs: dict[str, Tensor]) -> dict[tuple[str, int], Tensor]:
    """By kind of attention and layer, what eager attention returns."""
    model.set_attn_implementation("eager")
    out = model(**inputs, output_attentions=True)
    kinds = {"encoder_attentions": "encoder", "decoder_attentions": "decoder", "cross_attentions": "cross"}
    fields = {"attentions": "decoder"} if "attentions" in out else kinds
    return {(kind, layer): one for field, kind in fields.items() for layer, one in enumerate(out[field])}


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS, *TRANSLATORS])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@torch.no_grad()
def test_captured_weights_are_those_that_eager_attention_returns(seed: int, name: str, implementation: str) -> None:
    model, inputs = _make(name), _inputs(name)
    model.set_attn_implementation(implementation)
    before = model(**inputs)[0]
    with at.capture(model) as seen:
        during = model(**inputs)[0]
    assert torch.equal(during, before)
    returned = _returned(model, inputs)
    assert len(seen) == len(returned)
    numbers = {"encoder": 0, "decoder": 0, "cross": 0}
    for one in seen:
        part = "cross" if one.kind == "cross" else "decoder"
        if name in TRANSLATORS and "encoder" in one.name.split("."):
            part = "encoder"
        expected = returned[(part, numbers[part])]
        numbers[part] += 1
        rows = _real_queries(inputs["attention_mask"]) if part == "decoder" and name in DECODERS else slice(None)
        torch.testing.assert_close(one.weights.float()[rows], expected[rows], atol=6e-4, rtol=1e-3)
        assert one.heads == tuple(range(HEADS))


def _real_queries(mask: Tensor) -> Any:
    """All queries of the sequence without padding: what a padded query attends to is each backend's own."""
    return mask.all(dim=1)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["bert", "llama"])
@torch.no_grad()
def test_flex_attention_of_transformers_is_seen(seed: int, name: str) -> None:
    model, inputs = _make(name), _inputs(name)
    with at.capture(model) as expected:
        model(**inputs)
    model.set_attn_implementation("flex_attention")
    with at.capture(model) as seen:
        model(**inputs)
    assert seen.names == expected.names
    rows = _real_queries(inputs["attention_mask"])
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one.weights[rows], other.weights[rows], atol=6e-4, rtol=1e-3)


def _shown(attentions: tuple[tuple[Tensor, ...], ...], layer: int, width: int) -> list[Tensor]:
    """The last row of a layer at every step of transformers' generate, filled up with zeros."""
    rows = [step[layer][:, :, -1] for step in attentions]
    return [nn.functional.pad(row, (0, width - row.shape[-1])) for row in rows]


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart", "marian"])
@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_generation_gives_a_row_for_each_produced_token_of_the_winning_beam(seed: int, name: str, beams: int) -> None:
    model, inputs = _make(name), _inputs(name)
    inputs.pop("decoder_input_ids", None)
    options = {"num_beams": beams, "max_new_tokens": TARGET, "return_dict_in_generate": True, "do_sample": False}
    with at.capture(model) as seen:
        out = model.generate(**inputs, **options)
    model.set_attn_implementation("eager")
    expected = model.generate(**inputs, **options, output_attentions=True)
    assert torch.equal(out.sequences, expected.sequences)

    indices = out.beam_indices if beams > 1 else None
    joined = seen.joined(indices)
    prompt = 1 if name in TRANSLATORS else SOURCE
    steps = out.sequences.shape[1] - prompt
    shown = expected.decoder_attentions if name in TRANSLATORS else expected.attentions
    own = [one for one in joined if one.kind == "self" and not one.name.startswith(("encoder", "model.encoder"))]
    cross = [one for one in joined if one.kind == "cross"]
    checks = [(own, shown, SOURCE - 1 if name in DECODERS else 0)]
    if cross:
        checks.append((cross, expected.cross_attentions, 0))
    for found, attentions, start in checks:
        assert len(found) == 2
        for layer, one in enumerate(found):
            rows = _shown(attentions, layer, one.keys)
            assert one.weights.shape[2] == (steps if indices is not None else len(rows))
            assert one.q_start == start
            for step in range(steps):
                for sentence in range(BATCH):
                    beam = sentence if indices is None else int(indices[sentence, step])
                    wanted = rows[step][beam] if beam >= 0 else torch.zeros_like(rows[step][0])
                    torch.testing.assert_close(one.weights[sentence, :, step].float(), wanted, atol=6e-4, rtol=1e-3)


@torch.no_grad()
def test_a_window_of_cached_keys_is_joined_in_absolute_positions(seed: int) -> None:
    model = _make("mistral")
    prompt = torch.randint(3, VOCABULARY, (BATCH, SOURCE))
    with at.capture(model) as seen:
        tokens = model.generate(prompt, max_new_tokens=TARGET, min_new_tokens=TARGET, do_sample=False)
    with at.capture(model) as whole:
        model(tokens[:, :-1])
    for one, other in zip(seen.joined(), whole, strict=True):
        assert (one.q_start, one.keys) == (SOURCE - 1, SOURCE + TARGET - 1)
        torch.testing.assert_close(one.weights, other.weights[:, :, SOURCE - 1 :], atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_static_cache_is_seen_at_the_right_positions(seed: int) -> None:
    model = _make("llama")
    prompt = torch.randint(3, VOCABULARY, (BATCH, SOURCE))
    options = {"max_new_tokens": TARGET, "min_new_tokens": TARGET, "do_sample": False}
    with at.capture(model) as seen:
        model.generate(prompt, **options, cache_implementation="static", disable_compile=True)
    assert [one.q_start for one in seen.of(seen.names[0])] == [0, *range(SOURCE, SOURCE + TARGET - 1)]
