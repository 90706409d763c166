"""Models of ours that transformers opens: the same logits, and the same outputs from `generate` and the pipelines."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_models import (
    LETTERS,
    TARGET_VOCABULARY,
    VOCABULARY,
    assert_same,
    letters,
    our_bert,
    our_gpt2,
    our_marian,
    rows,
)
from packaging.version import Version
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)

from attentio.decoding.sampling import Sampling, sample
from attentio.decoding.search import Hypothesis, search
from attentio.huggingface.directory import read, write
from attentio.text.tokenizer import BOS, EOS, MASK, PAD, UNK, Tokenizer

ACTIVATIONS = ["relu", "relu-squared", "gelu", "gelu-tanh", "silu"]
OPTIONS: list[dict[str, Any]] = [{}, {"tied": False}, {"eps": 0.1}, *({"activation": name} for name in ACTIVATIONS)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_a_masked_model_opens(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    ours = our_bert(**options)
    write(ours, [letters(mask=True)], tmp_path)
    theirs, loading = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    tokens, lengths, mask = rows()
    expected = theirs(tokens, attention_mask=mask, token_type_ids=torch.zeros_like(tokens)).logits
    assert_same(ours(tokens, lengths)[mask.bool()], expected[mask.bool()])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_a_causal_model_opens(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    ours = our_gpt2(**options)
    write(ours, [letters()], tmp_path)
    theirs, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    tokens, _, _ = rows()
    assert_same(ours(tokens), theirs(tokens).logits)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tied": False},
        {"shared": False, "target_vocabulary": TARGET_VOCABULARY},
        {"shared": False, "target_vocabulary": TARGET_VOCABULARY, "tied": False},
        *({"activation": name} for name in ACTIVATIONS),
    ],
    ids=str,
)
@torch.no_grad()
def test_a_translator_opens(options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    ours = our_marian(**options)
    write(ours, [letters()], tmp_path)
    theirs, loading = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    source, lengths, mask = rows()
    target = torch.randint(TARGET_VOCABULARY, (3, 5))
    assert_same(ours(source, lengths, target), theirs(source, attention_mask=mask, decoder_input_ids=target).logits)


@pytest.mark.parametrize(
    ("make", "options"),
    [(our_bert, {}), (our_bert, {"tied": False}), (our_gpt2, {}), (our_gpt2, {"tied": False})]
    + [(our_marian, options) for options in ({}, {"tied": False}, {"shared": False})],
)
def test_what_was_written_is_read_back(make: Any, options: dict[str, Any], seed: int, tmp_path: Path) -> None:
    ours = make(**options)
    tokenizer = letters()
    write(ours, [tokenizer, tokenizer], tmp_path)
    _, back, tokenizers = read(tmp_path)
    state = back.state_dict()
    assert state.keys() == ours.state_dict().keys()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert tokenizers[-1].begin == BOS
    assert tokenizers[-1].end == EOS
    assert all(each.encode("a cab") == tokenizer.encode("a cab") for each in tokenizers)


def test_two_tokenizers_of_a_translator_open(seed: int, tmp_path: Path) -> None:
    source, target = letters(), Tokenizer.train(["zyx wvu"], kind="char")
    write(our_marian(shared=False, target_vocabulary=target.size), [source, target], tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("a cab").input_ids == [*source.encode("a cab"), EOS]
    assert AutoTokenizer.from_pretrained(tmp_path / "target").decode(target.encode("xyz vw")) == "xyz vw"
    tokenizers = read(tmp_path).tokenizers
    assert [each.encode("zyx") for each in tokenizers] == [source.encode("zyx"), target.encode("zyx")]
    assert tokenizers[1].begin == BOS
    write(our_marian(), [source, source], tmp_path / "shared")
    assert [each.encode("zyx") for each in read(tmp_path / "shared").tokenizers] == [source.encode("zyx")] * 2


def ends_sometimes(model: Any) -> Any:
    """The model, with as good a chance to end as to say any of the other tokens."""
    model.output.bias.data[EOS] += 2.0
    return model


def translations(
    model: Any, source: torch.Tensor, lengths: torch.Tensor, *, longest: int, beam: int, n_best: int = 1
) -> list[list[Hypothesis]]:
    return search(
        model,
        model.start(model.encode(source, lengths)),
        max_lengths=torch.full((len(source),), longest),
        begin=BOS,
        end=EOS,
        forbidden=(PAD, BOS, UNK),
        beam=beam,
        length_penalty=0.0,
        n_best=n_best,
    )


def without_special(ids: list[int]) -> list[int]:
    return [i for i in ids if i not in (PAD, BOS, EOS)]


@torch.no_grad()
def test_greedy_translations_are_the_same(seed: int, tmp_path: Path) -> None:
    ours = ends_sometimes(our_marian())
    write(ours, [letters()], tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    texts = ["a cab", "zebra crossing", "x", "the quick brown fox"]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    generated = theirs.generate(**batch, max_length=15, do_sample=False)
    best = [found[0] for found in translations(ours, batch.input_ids, batch.attention_mask.sum(1), longest=13, beam=1)]
    assert [without_special(ids) for ids in generated.tolist()] == [one.tokens for one in best]
    assert tokenizer.batch_decode(generated, skip_special_tokens=True) == [letters().decode(one.tokens) for one in best]


@torch.no_grad()
@pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.18"),
    reason="this transformers counts the source's vocabulary when it searches the target's",
)
def test_a_beam_wide_enough_for_everything_finds_the_same(seed: int, tmp_path: Path) -> None:
    """The two searches differ in what they drop, so the beam is as wide as there are outputs.

    They differ too in what an output of the greatest length pays for its end: nothing there, the model's price here.
    """
    tokenizer = Tokenizer.train(["abc"], kind="char")
    ours = ends_sometimes(our_marian(shared=False, target_vocabulary=tokenizer.size))
    write(ours, [letters(), tokenizer], tmp_path)
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    batch = AutoTokenizer.from_pretrained(tmp_path)(["a cab", "zebra crossing"], return_tensors="pt", padding=True)
    outputs = 1 + 3 + 9 + 27
    generated = theirs.generate(
        **batch,
        max_length=5,
        num_beams=outputs,
        num_return_sequences=outputs,
        length_penalty=0.0,
        early_stopping="never",
        return_dict_in_generate=True,
        output_scores=True,
    )
    ranked = zip(generated.sequences.tolist(), generated.sequences_scores.tolist(), strict=True)
    expected = [(tuple(without_special(ids)), score) for ids, score in ranked]
    found = translations(ours, batch.input_ids, batch.attention_mask.sum(1), longest=3, beam=outputs, n_best=outputs)
    for number, hypotheses in enumerate(found):
        shorter = {tuple(one.tokens): one.log_prob for one in hypotheses if len(one.tokens) < 3}
        assert len(shorter) == 1 + 3 + 9
        of_sentence = expected[number * outputs : (number + 1) * outputs]
        assert shorter == pytest.approx({ids: score for ids, score in of_sentence if len(ids) < 3}, abs=1e-4)
        assert list(shorter.values()) == sorted(shorter.values(), reverse=True)


@torch.no_grad()
def test_generate_goes_on_with_a_prompt_as_ours(seed: int, tmp_path: Path) -> None:
    ours = our_gpt2()
    tokenizer = letters()
    write(ours, [tokenizer], tmp_path)
    prompt = "a cab"
    ids = [BOS, *tokenizer.encode(prompt)]
    steps = sample(
        ours,
        ours.start(torch.tensor([ids[:-1]])),
        torch.tensor([ids[-1:]]),
        sampling=Sampling(temperature=0.0),
        max_tokens=9,
        end=EOS,
        forbidden=(PAD, BOS, UNK),
    )
    expected = prompt + tokenizer.decode([int(step.tokens) for step in steps])
    generator = pipeline("text-generation", model=str(tmp_path))
    said = generator(prompt, max_new_tokens=9, do_sample=False)[0]["generated_text"]
    assert said == expected


@torch.no_grad()
def test_the_fill_mask_pipeline_says_the_same(seed: int, tmp_path: Path) -> None:
    ours = our_bert()
    tokenizer = letters(mask=True)
    write(ours, [tokenizer], tmp_path)
    ids = [BOS, *tokenizer.encode_with_holes("ze<mask>ra"), EOS]
    probabilities = ours(torch.tensor([ids]), torch.tensor([len(ids)]))[0, ids.index(MASK)].softmax(0)
    expected = probabilities.topk(7)
    said = pipeline("fill-mask", model=str(tmp_path), top_k=7)("ze<mask>ra")
    assert [one["token"] for one in said] == expected.indices.tolist()
    torch.testing.assert_close([one["score"] for one in said], expected.values.tolist(), rtol=1e-4, atol=1e-6)


def test_nothing_but_json_and_safetensors_is_written(seed: int, tmp_path: Path) -> None:
    write(our_gpt2(), [letters()], tmp_path / "new" / "folder")
    names = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert json.loads((tmp_path / "new" / "folder" / "config.json").read_text())["vocab_size"] == VOCABULARY
    assert letters().size == VOCABULARY == len(LETTERS) + 5
