"""text.source.bpe_dropout in training: only there, and in a run that is resumed as in one that never stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_words

from attentio.commands.main import main
from attentio.runs.translator import Run

SMALL = OPTIONS | {
    "text.source.tokenizer": "bpe",
    "text.source.vocab_size": 40,
    "model.hidden": 16,
    "model.embedding": 8,
    "training.decay": "constant",
    "training.log_every": 1,
    "training.checkpoint_every": 5,
}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    words = write_words(tmp_path / "words.tsv", reverse, count=60, seed=1)
    return SMALL | {"data.train": words, "data.dev": words, "data.test": "null", "training.batch_tokens": 64}


def losses(run: Path, options: dict[str, object], steps: int) -> list[str]:
    assert main(["train", "luong", "--run", str(run), *as_arguments(options | {"training.max_steps": steps})]) == 0
    return [row.split(",")[2] for row in (run / "metrics.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("side", ["source", "shared"])
def test_a_resumed_run_draws_what_it_would_have_drawn(tmp_path: Path, options: dict[str, object], side: str) -> None:
    """Stopped in the middle of the second epoch."""
    dropping = options | {"text.source.bpe_dropout": 0.3} | ({"text.shared": "true"} if side == "shared" else {})
    assert len(losses(tmp_path / "stopped", dropping, 15)) < len(losses(tmp_path / "stopped", dropping, 25))
    through = losses(tmp_path / "through", dropping, 25)
    assert losses(tmp_path / "stopped", dropping, 25) == through
    assert losses(tmp_path / "plain", dropping | {"text.source.bpe_dropout": 0.0}, 25) != through


def test_what_is_translated_is_not_drawn(tmp_path: Path, options: dict[str, object]) -> None:
    losses(tmp_path / "run", options | {"text.source.bpe_dropout": 0.5}, 5)
    run = Run.load(tmp_path / "run")
    words = [line.split("\t")[0] for line in Path(str(options["data.train"])).read_text().splitlines()]
    source = run.tokenizers.source
    whole = [source.tokens(encoded.ids) for encoded in source.core.encode_batch_fast(words)]
    assert [each.source_tokens[:-1] for each in run.translate(words)] == whole


@pytest.mark.parametrize(
    ("preset", "side"), [("luong", "source"), ("luong", "target"), ("causal-lm", "source"), ("masked-lm", "source")]
)
def test_other_tokenizers_and_models_have_no_merges_to_leave_out(
    preset: str, side: str, attentio: Callable[..., Any], tmp_path: Path
) -> None:
    said = attentio("train", preset, "--run", tmp_path / "run", f"--text.{side}.bpe_dropout", 0.1)
    assert said.code == 2
    assert f"text.{side}.bpe_dropout does nothing here; it is for " in said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_file_that_asks_for_what_its_tokenizer_cannot_do_is_refused(
    side: str, attentio: Callable[..., Any], tmp_path: Path, options: dict[str, object]
) -> None:
    (tmp_path / "mine.yaml").write_text(f"base: luong\ntext.{side}.bpe_dropout: 0.1\n")
    others = {key: value for key, value in options.items() if not key.startswith("text.")}
    said = attentio("train", tmp_path / "mine.yaml", "--run", tmp_path / "run", *as_arguments(others))
    assert said.code == 2
    assert "bpe_dropout is for tokenizers that were trained here, of the kind bpe; leave it out" in said.err
    assert not (tmp_path / "run").exists()
