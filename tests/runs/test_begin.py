"""The directory of a run that is begun: gone again where nothing came of it."""

from pathlib import Path

import pytest

from attentio.errors import AttentioError
from attentio.runs.begin import alone_in
from attentio.runs.build import Tokenizers
from attentio.text.tokenizer import Tokenizer


def stopped(run: Path, written: str, end: BaseException) -> None:
    """Begin a run, write a file, and end."""
    with alone_in(run):
        (run / written).touch()
        raise end


@pytest.mark.parametrize("end", [AttentioError("a mistake"), KeyboardInterrupt()], ids=["mistake", "Ctrl-C"])
def test_a_run_that_ends_before_it_is_trained_leaves_no_folder(end: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(end)):
        stopped(tmp_path / "run", "data.json", end)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("written", ["metrics.csv", "distilled.jsonl"])
def test_what_took_long_to_make_is_kept_when_a_run_is_stopped(written: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path / "run", written, KeyboardInterrupt())
    assert (tmp_path / "run" / written).exists()


def test_a_folder_that_was_there_before_is_kept_when_a_run_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path, "data.json", KeyboardInterrupt())
    assert tmp_path.exists()


def test_the_tokenizers_of_a_training_that_came_to_nothing_are_gone_with_the_next(tmp_path: Path) -> None:
    source, target = (Tokenizer.train([text], kind="char") for text in ("abc", "xyz"))
    Tokenizers(source, target).save(tmp_path)
    Tokenizers(source, source).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["source.json"]
