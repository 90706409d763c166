"""The directory of a run that is begun: gone again where nothing came of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_words

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


@pytest.mark.parametrize("name", ["data.json", "config.yaml", "held-out.jsonl"])
def test_a_file_that_is_no_part_of_a_run_is_not_written_over(name: str, tmp_path: Path, attentio: Callable) -> None:
    (tmp_path / name).write_text("{}")
    said = attentio("train", "luong", "--run", tmp_path, "--data.train", "dates:dev", "--training.max_steps", 1)
    assert said.code == 2
    assert f"{tmp_path / name} is no part of a run, and would be written over; choose another --run" in said.err
    assert (tmp_path / name).read_text() == "{}"


def test_another_part_that_is_validated_on_is_told_as_that(tmp_path: Path, attentio: Callable) -> None:
    data = write_words(tmp_path / "words.tsv", reverse, count=60, seed=1)
    tiny = as_arguments({**OPTIONS, "training.max_steps": 1, "training.warmup": 0, "training.validate_every": 1})
    for name, begun, then, told in (
        ("held", [], ["--data.dev", data], "was begun with a part of its training data held out; leave data.dev out"),
        ("dev", ["--data.dev", data], [], f"was begun with data.dev {data}; give that again"),
    ):
        command = ["train", "luong", "--run", tmp_path / name, "--data.train", data, *tiny]
        assert attentio(*command, *begun).code == 0
        said = attentio(*command, *then)
        assert said.code == 2
        assert told in said.err
