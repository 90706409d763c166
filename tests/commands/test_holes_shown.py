"""attentio mask: the rows of a text as they are corrupted in training, and counts of what was done."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attentio.config.read import load_config
from attentio.data.batches import IGNORE_INDEX
from attentio.data.part import read_part
from attentio.runs.tasks import task_of

WORDS = ("--text.source.tokenizer", "whitespace")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """97 rows of 11 words, each as frequent as the others."""
    path = tmp_path / "text.txt"
    words = [f"w{number % 13}" for number in range(97 * 11)]
    path.write_text("".join(" ".join(words[start : start + 11]) + "\n" for start in range(0, len(words), 11)))
    return path


def counts(out: str) -> dict[str, int]:
    found = re.findall(r"^ *(.+?) {2,}([\d,]+)(?: |$)", out, re.MULTILINE)
    return {name: int(count.replace(",", "")) for name, count in found}


def test_the_rows_are_those_that_training_reads_in_that_epoch(text: Path, attentio: Callable) -> None:
    said = attentio("mask", text, *WORDS, "--rows", "97", "--epoch", "2", "--training.seed", "5")
    config = load_config("masked-lm", [f"--data.train={text}", *WORDS])
    task = task_of(config)
    part = read_part(config, config.data.train)
    tokenizers = task.learn(config, part)
    corpus = task.corpus(config, part, tokenizers, seed=5)
    shown = said.out.splitlines()[:97]
    for indices in corpus.epoch_batches(2):
        batch = corpus.load(indices, 2)
        for index, read, asked in zip(indices, batch.inputs[0], batch.labels, strict=True):
            pieces = shown[index].split(" ")
            named = ["<mask>" if piece.endswith("→[MASK]") else piece.rpartition("→")[2] for piece in pieces]
            assert named == tokenizers.source.tokens(read[1:-1].tolist())
            assert torch.tensor(["→" in piece for piece in pieces]).equal(asked[1:-1] != IGNORE_INDEX)


def test_the_counts_are_of_all_rows_and_sum_up(text: Path, attentio: Callable) -> None:
    few = attentio("mask", text, *WORDS, "--rows", "1").out
    found = counts(few)
    shown = attentio("mask", text, *WORDS, "--rows", "97").out
    kinds = [(true == read, read == "[MASK]") for true, read in re.findall(r"(\S+)→(\S+)", shown)]
    masked, same = sum(mask for _, mask in kinds), sum(same for same, _ in kinds)
    assert found["ordinary tokens"] == 97 * 11
    assert found["chosen"] == len(kinds)
    assert found["→ [MASK]"] == masked > same
    assert found["→ itself"] == same > 0
    assert found["→ another token"] == len(kinds) - masked - same > 0
    assert len(few.splitlines()) == 2 + 6


def test_the_seed_and_the_epoch_draw_the_holes(text: Path, attentio: Callable) -> None:
    def out(*options: str) -> str:
        return attentio("mask", text, *WORDS, *options).out

    assert out() == out()
    assert len({out(), out("--epoch", "1"), out("--training.seed", "2")}) == 3


def test_the_rates_are_options(text: Path, attentio: Callable) -> None:
    options = ("--masking.rate", "0.5", "--masking.mask", "0", "--masking.random", "0", "--rows", "0")
    found = counts(attentio("mask", text, *WORDS, *options).out)
    assert found["chosen"] == found["→ itself"] == pytest.approx(97 * 11 / 2, rel=0.2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere.txt",), "nowhere.txt"),
        (("dates:tset",), "dates:tset: no such data set"),
        (("dates:dev", "--masking.rate", "2"), "masking.rate must be above 0 and at most 1"),
        (("dates:dev", "--model.type", "causal-lm"), "leave --model.type out"),
    ],
)
def test_a_users_mistake_is_told_in_one_line(attentio: Callable, words: tuple[str, ...], told: str) -> None:
    said = attentio("mask", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert said.err.count("\n") == 1
