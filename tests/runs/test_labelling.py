"""Labellers: trained, used, refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_pairs import as_arguments
from toy_texts import part_of_the_round

import attentio as at

RECIPE = as_arguments(
    {
        "training.max_steps": 60,
        "training.validate_every": 60,
        "training.batch_tokens": 256,
        "training.learning_rate": 0.005,
        "training.warmup": 5,
        "training.samples": 1,
        "model.dropout": 0,
        "data.test": "null",
    }
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of the round, each with its first letter in capitals."""
    folder = tmp_path_factory.mktemp("labels")
    texts = [part_of_the_round(start, length) for length in range(2, 9) for start in range(7)]
    lines = (f"{text}\t{' '.join(word[0].upper() for word in text.split())}\n" for text in texts)
    (folder / "words.tsv").write_text("".join(lines))
    (folder / "texts.tsv").write_text("".join(f"{text}\t{text[0].upper()}\n" for text in texts))
    return folder


def test_a_masked_model_becomes_a_tagger(attentio: Callable, masked: Path, data: Path, tmp_path: Path) -> None:
    run, words = tmp_path / "run", data / "words.tsv"
    said = attentio(
        "train", "tagger", "--init", masked, "--run", run, "--data.train", words, "--data.dev", words, *RECIPE
    )
    assert said.code == 0, said.err
    assert "labels.weight" in said.err
    assert "new in the vocabulary" not in said.err, "a language model has no labels that these are added to"
    assert "dev, 49 labelled: accuracy 100.00, macro-f1 100.00" in said.err
    assert (run / "tokenizer" / "source.json").read_bytes() == (masked / "tokenizer" / "source.json").read_bytes()
    found = attentio("label", run, given=b"two three\n\nseven one eight\n")
    assert (found.code, found.out.splitlines()[:2]) == (0, ["T T", ""])
    assert "'eight' (line 3, character 11): the model does not know it" in found.err
    (one,) = at.LabelRun.load(run).label(["six seven"])
    assert (one.words, one.labels, one.cut) == (["six", "seven"], ["S", "S"], False)
    told = json.loads(attentio("label", run, "--json", given=b"six seven\n").out)
    assert told == {"words": one.words, "labels": one.labels, "probabilities": pytest.approx(one.probabilities)}
    assert attentio("evaluate", run, "--data", words, "--out", tmp_path / "out").code == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]
    assert {each["name"]: each["value"] for each in scores} == {"accuracy": 100.0, "macro-f1": 100.0}
    assert attentio("look", run, "six seven", "--out", tmp_path / "page.html").code == 0
    said = attentio("export", run, "--to", "huggingface")
    assert (said.code, "a labeller cannot be written for transformers" in said.err) == (2, True)
    bundle = tmp_path / "tagger.zip"
    assert attentio("export", run, "--to", "bundle", "--out", bundle).code == 0
    assert attentio("label", bundle, given=b"two three\n").out == "T T\n"
    assert "use `attentio label`" in attentio("fill", run, "a").err


def test_a_masked_model_becomes_a_classifier_of_whole_texts(
    attentio: Callable, masked: Path, data: Path, tmp_path: Path
) -> None:
    """It has no labels, so the preset's `model.labels: text` stays; a labeller's own is taken over."""
    run, texts = tmp_path / "run", ["--data.train", data / "texts.tsv", "--data.dev", data / "texts.tsv"]
    few = as_arguments({"training.max_steps": 1, "training.validate_every": 1, "training.warmup": 1})
    said = attentio("train", "classifier", "--init", masked, "--run", run, *texts, *RECIPE, *few)
    assert said.code == 0, said.err
    assert "model.labels is" not in said.err
    assert len(attentio("label", run, given=b"two three\n").out.split()) == 1
    again = attentio("train", "tagger", "--init", run, "--run", tmp_path / "again", *texts, *RECIPE, *few)
    assert again.code == 0, again.err
    assert "labels: text" in (tmp_path / "again" / "config.yaml").read_text()


def test_labels_that_were_learnt_are_kept_beside_new_ones(attentio: Callable, data: Path, tmp_path: Path) -> None:
    run, words, more = tmp_path / "run", data / "words.tsv", tmp_path / "more.tsv"
    assert attentio("train", "tagger", "--run", run, "--data.train", words, "--data.dev", words, *RECIPE).code == 0
    more.write_text("one two\tA A\n" * 40 + words.read_text())  # a label that is more frequent than all others
    still = as_arguments({"training.max_steps": 1, "training.validate_every": 1, "training.learning_rate": 1e-12})
    again = tmp_path / "again"
    data_of_both = ["--data.train", more, "--data.dev", words]
    said = attentio("train", "tagger", "--init", run, "--run", again, *data_of_both, *RECIPE, *still)
    assert said.code == 0, said.err
    given = b"one two three four\nseven six five\n"
    assert attentio("label", again, given=given).out == attentio("label", run, given=given).out
    other = tmp_path / "other.tsv"
    lines = [line.split("\t") for line in words.read_text().splitlines()]
    other.write_text(
        "".join(f"{text}\t{' '.join('X' + label for label in labels.split())}\n" for text, labels in lines)
    )
    said = attentio("train", "tagger", "--init", run, "--run", tmp_path / "x", "--data.train", other, *RECIPE, *still)
    assert said.code == 0, said.err
    assert "of other labels there" in said.err


def test_a_text_gets_one_label_and_one_too_long_is_told(attentio: Callable, data: Path, tmp_path: Path) -> None:
    run, texts = tmp_path / "run", data / "texts.tsv"
    sizes = as_arguments(
        {
            "text.source.tokenizer": "whitespace",
            "text.block": 6,
            "model.transformer.width": 32,
            "model.encoder_layers": 1,
        }
    )
    said = attentio("train", "classifier", "--run", run, "--data.train", texts, "--data.dev", texts, *sizes, *RECIPE)
    assert said.code == 0, said.err
    found = attentio("label", run, given=b"one two\nfive six\none two three four five\n")
    assert found.out.split() == ["O", "F", "O"]
    assert "of 1 texts only the beginning was read, text.block (6) tokens" in found.err


def test_bad_labels_are_told_with_their_line(attentio: Callable, tmp_path: Path) -> None:
    data = tmp_path / "bad.tsv"
    data.write_text("one two\tA B\nthree four\tC\n")
    said = attentio("train", "tagger", "--data.train", data, "--run", tmp_path / "run")
    assert (said.code, f"{data}:2: 2 words and 1 labels; write one label" in said.err) == (2, True)
    said = attentio("train", "classifier", "--data.train", data, "--run", tmp_path / "run")
    assert (said.code, f"{data}:1: the label 'A B' holds white space" in said.err) == (2, True)


@pytest.mark.parametrize(("preset", "labels"), [("tagger", "A B"), ("classifier", "A")])
def test_the_symbol_of_holes_in_a_labelled_text_is_told_with_its_line(
    attentio: Callable, tmp_path: Path, preset: str, labels: str
) -> None:
    data = tmp_path / "bad.tsv"
    data.write_text(f"one two\t{labels}\none <mask>\t{labels}\n")
    said = attentio("train", preset, "--data.train", data, "--run", tmp_path / "run")
    assert (said.code, f"{data}:2: source: holds the reserved symbol <mask>; remove" in said.err) == (2, True)
