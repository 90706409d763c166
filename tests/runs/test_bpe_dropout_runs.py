"""text.source.bpe_dropout in training: only there, and in a run that is resumed as in one that never stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_words

from attentio.commands.main import main
from attentio.config.read import load_run
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


@pytest.mark.parametrize(
    "content",
    [
        "base: luong\ntext.source.bpe_dropout: 0.1\n",
        "base: luong\ntext.target.bpe_dropout: 0.1\n",
        "base: multi30k-en-de\ntext.target.tokenizer: bpe\ntext.target.bpe_dropout: 0.1\n",
        "base: causal-lm\ntext.source: {tokenizer: bpe, vocab_size: 90, bpe_dropout: 0.1}\n",
    ],
)
def test_a_file_in_which_it_would_do_nothing_is_refused(
    content: str, attentio: Callable[..., Any], tmp_path: Path, options: dict[str, object]
) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    data = ["--data.train", options["data.train"], "--data.dev", options["data.dev"]]
    said = attentio("train", tmp_path / "mine.yaml", "--run", tmp_path / "run", *data)
    assert said.code == 2
    assert "bpe_dropout does nothing here; it is for " in said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", ["--init", "--teacher"])
def test_it_is_no_part_of_the_tokenizers_that_are_kept(tmp_path: Path, options: dict[str, object], how: str) -> None:
    losses(tmp_path / "without", options, 1)
    more = [how, str(tmp_path / "without"), *as_arguments(options | {"training.max_steps": 1})]
    assert main(["train", "luong", "--run", str(tmp_path / "with"), "--text.source.bpe_dropout", "0.3", *more]) == 0
    assert load_run(tmp_path / "with").text.source.bpe_dropout == 0.3
    more[1] = str(tmp_path / "with")
    assert main(["train", "luong", "--run", str(tmp_path / "again"), *more]) == 0
    assert load_run(tmp_path / "again").text.source.bpe_dropout == 0.0


@pytest.mark.parametrize(("positions", "code"), [(7, 2), (8, 0)])
def test_learnt_positions_must_be_enough_for_every_letter(
    positions: int, code: int, attentio: Callable[..., Any], tmp_path: Path, options: dict[str, object]
) -> None:
    """Words of up to 6 letters, the mark of a space before them and the end after them."""
    sizes = {"width": 8, "heads": 2, "feed_forward": 8, "positions": "learned", "max_length": positions}
    given = {key: value for key, value in options.items() if not key.startswith("model.")}
    given |= {f"model.transformer.{key}": value for key, value in sizes.items()} | {"training.max_steps": 2}
    dropping = {"text.shared": "true", "text.source.bpe_dropout": 0.9}
    said = attentio("train", "transformer", "--run", tmp_path / "run", *as_arguments(given | dropping))
    assert said.code == code, said.err
    if code:
        assert "with bpe_dropout a text may be 8 tokens, letter by letter" in said.err
        assert "model.transformer.max_length is 7; raise it" in said.err
        assert not (tmp_path / "run").exists()
