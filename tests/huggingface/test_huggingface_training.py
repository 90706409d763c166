"""Training that begins with a directory that transformers wrote."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_models import WORDS, assert_same, bert, gpt2, marian, saved
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

import attentio as at

TEXT = "w3 w1 w4 w1 w5"
STILL = ("--training.learning_rate", "1e-12", "--training.weight_decay", "0")
FEW = (
    *("--training.max_steps", "2", "--training.warmup", "0", "--training.batch_tokens", "64"),
    *("--training.validation_size", "3", "--data.test", "null"),
)
ALIKE = {"decoder_attention_heads": 3, "decoder_ffn_dim": 17}
"""Of a Marian whose sides have the same sizes."""


def written(path: Path, row: Callable[[list[str]], str], *, count: int = 30) -> list[str]:
    """Rows of words as the data of a training; returns the options that name them."""
    draw = random.Random(1)
    lines = [row(draw.choices(WORDS, k=draw.randint(2, 8))) for _ in range(count)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return ["--data.train", str(path), "--data.dev", str(path)]


def texts(path: Path) -> list[str]:
    return written(path, " ".join)


def pairs(path: Path) -> list[str]:
    return written(path, lambda words: f"{' '.join(words)}\t{' '.join(reversed(words))}")


def trained(attentio: Callable, preset: str, folder: Path, run: Path, *words: str) -> str:
    said = attentio("train", preset, "--init", folder, "--run", run, *FEW, *words)
    assert said.code == 0, said.err
    assert f"begins with the weights of {folder}" in said.err
    return str(said.err)


def taken(run: Path) -> dict[str, Any]:
    report = json.loads((run / "init.json").read_text())
    assert (report["new"], report["left_out"], report["otherwise"]) == ({}, {}, [])
    return dict(report["taken"])


def test_bert_is_gone_on_with_and_goes_back(seed: int, attentio: Callable, tmp_path: Path) -> None:
    theirs, folder, run = bert(vocab_size=37), tmp_path / "bert", tmp_path / "run"
    tokenizer = saved(theirs, folder, before="[CLS]", after="[SEP]")
    trained(attentio, "masked-lm", folder, run, *texts(tmp_path / "text.txt"), *STILL)
    assert "embedding.tokens.weight" in taken(run)
    ours = at.MaskedRun.load(run)
    batch = tokenizer(TEXT, return_tensors="pt")
    assert ours.encode(TEXT) == batch.input_ids[0].tolist()
    lengths = torch.tensor([batch.input_ids.shape[1]])
    expected = theirs(batch.input_ids, token_type_ids=torch.zeros_like(batch.input_ids)).logits
    assert_same(ours.model(batch.input_ids, lengths), expected)
    assert attentio("export", run, "--to", "huggingface", "--out", tmp_path / "back").code == 0
    back = AutoModelForMaskedLM.from_pretrained(tmp_path / "back").eval()
    again = AutoTokenizer.from_pretrained(tmp_path / "back")(TEXT, return_tensors="pt")
    assert again.input_ids.tolist() == batch.input_ids.tolist()
    assert_same(back(**again).logits, expected)
    bundle = tmp_path / "bundle.zip"
    assert attentio("export", run, "--to", "bundle", "--out", bundle).code == 0
    assert at.load(bundle).encode(TEXT) == ours.encode(TEXT)


def test_gpt2_learns_every_token_of_its_vocabulary(seed: int, attentio: Callable, tmp_path: Path) -> None:
    """It has no token that begins a text, and none that is nothing."""
    theirs, folder, run = gpt2(), tmp_path / "gpt2", tmp_path / "run"
    tokenizer = saved(theirs, folder)
    data = texts(tmp_path / "text.txt")
    trained(attentio, "causal-lm", folder, run, *data, *STILL)
    taken(run)
    ours = at.CausalRun.load(run)
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    assert_same(ours.model(ids), theirs(ids).logits)
    assert attentio("export", run, "--to", "huggingface", "--out", tmp_path / "back").code == 0
    assert_same(AutoModelForCausalLM.from_pretrained(tmp_path / "back").eval()(ids).logits, theirs(ids).logits)
    frozen, learnt = "stack.blocks.0.", tmp_path / "learnt"
    said = trained(attentio, "causal-lm", folder, learnt, *data, f"--training.freeze=[{frozen}*]")
    assert "numbers stay as they are" in said
    new, old = at.CausalRun.load(learnt), dict(at.CausalRun.load(folder).model.named_parameters())
    changed = {name for name, one in new.model.named_parameters() if not torch.equal(one, old[name])}
    assert changed == {name for name in old if not name.startswith(frozen)}
    assert attentio("train", learnt, "--training.max_steps", "3").code == 0


@pytest.mark.parametrize("scaled", [False, True])
def test_marian_is_gone_on_with_and_its_sides_share_their_words(
    seed: int, scaled: bool, attentio: Callable, tmp_path: Path
) -> None:
    theirs, folder, run = marian(**ALIKE, scale_embedding=scaled), tmp_path / "marian", tmp_path / "run"
    tokenizer = saved(theirs, folder, after="[SEP]")
    trained(attentio, "transformer", folder, run, *pairs(tmp_path / "pairs.tsv"), *STILL)
    taken(run)
    ours = at.Run.load(run)
    assert ours.model.encoder.embedding.tokens is ours.model.decoder.embedding.tokens
    source = tokenizer(TEXT, return_tensors="pt").input_ids
    target = torch.tensor([[5, 9, 7, 8]])
    expected = theirs(source, decoder_input_ids=target).logits
    assert_same(ours.model(source, torch.tensor([source.shape[1]]), target), expected)
    assert ours.translate([TEXT], beam=1)[0].text == at.Run.load(folder).translate([TEXT], beam=1)[0].text
    assert attentio("export", run, "--to", "huggingface", "--out", tmp_path / "back").code == 0
    back = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "back").eval()
    assert_same(back(source, decoder_input_ids=target).logits, expected)


def test_bert_becomes_a_labeller(seed: int, attentio: Callable, tmp_path: Path) -> None:
    folder, run = tmp_path / "bert", tmp_path / "run"
    saved(bert(), folder, before="[CLS]", after="[SEP]")
    data = written(
        tmp_path / "labels.tsv", lambda words: f"{' '.join(words)}\t{' '.join('ab'[len(w) > 2] for w in words)}"
    )
    trained(attentio, "tagger", folder, run, *data)
    assert set(json.loads((run / "init.json").read_text())["new"]) == {"labels.weight", "labels.bias"}
    (found,) = at.LabelRun.load(run).label(["w3 w12"])
    assert set(found.labels) <= {"a", "b"}


def test_what_a_directory_cannot_be_is_said(seed: int, attentio: Callable, tmp_path: Path) -> None:
    folder, other = tmp_path / "bert", tmp_path / "marian"
    saved(bert(), folder, before="[CLS]", after="[SEP]")
    saved(marian(), other, after="[SEP]")
    data = texts(tmp_path / "text.txt")

    def refused(preset: str, init: Path, *words: str) -> str:
        said = attentio("train", preset, "--init", init, "--run", tmp_path / "run", *FEW, *words)
        assert said.code == 2, said.err
        return str(said.err.splitlines()[-1])

    assert "is kept as it is" in refused("masked-lm", folder, *data, "--text.extend", "true")
    assert "text.source.tokenizer is as" in refused("masked-lm", folder, *data, "--text.source.tokenizer", "bpe")
    assert "holds a model of type masked-lm" in refused("luong", folder, *pairs(tmp_path / "pairs.tsv"))
    assert "of other sizes" in refused("transformer", other, *pairs(tmp_path / "pairs.tsv"))
    said = attentio(
        "train", "masked-lm", "--run", tmp_path / "none", *FEW, *data, "--text.source.tokenizer", "pretrained"
    )
    assert "pretrained is the one that comes with --init" in said.err
