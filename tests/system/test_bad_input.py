"""Bad input of every kind: one line that names file, line and remedy, exit code 2, no traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_task, write_words

from attentio.training.checkpoint import Checkpoints

GOOD = b"abc\tcba\n"


def one_line(done) -> str:
    """What is told, all of it."""
    told = done.stderr.decode()
    assert done.returncode == 2, told
    assert done.stdout == b""
    assert told.startswith("attentio: ")
    assert told.count("\n") == 1
    assert "Traceback" not in told
    return told.removeprefix("attentio: ").rstrip()


BAD_LINES = {
    "an empty line": (b"", "bad.tsv:2: empty line; fill or remove it"),
    "one column": (b"abc", "bad.tsv:2: 1 column(s) where 2 are expected; write source, one tab, target"),
    "three columns": (b"a\tb\tc", "bad.tsv:2: 3 column(s) where 2 are expected; write source, one tab, target"),
    "invalid UTF-8": (b"a\t\xff", "bad.tsv:2: invalid UTF-8 at byte 3 of the line (0xff); save the file as UTF-8"),
    "a NUL": (b"a\0\tb", "bad.tsv:2: source: NUL character at position 2; remove it"),
    "a long line": (b"a\t" + b"b" * 20_000, "bad.tsv:2: target: 20000 characters, more than the limit of 10000; "),
    "a reserved symbol": (b"a\tb<pad>", "bad.tsv:2: target: holds the reserved symbol <pad>; remove or rewrite it"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_is_named(tmp_path: Path, attentio: Callable, what: str) -> None:
    line, told = BAD_LINES[what]
    (tmp_path / "bad.tsv").write_bytes(GOOD + line + b"\n" + GOOD)
    assert one_line(attentio("train", "luong", "--data.train", "bad.tsv", "--run", "run")).startswith(told)
    assert not (tmp_path / "run").exists()


def test_files_of_unequal_length_are_named(tmp_path: Path, attentio: Callable) -> None:
    (tmp_path / "a.txt").write_text("a\nb\nc\n")
    (tmp_path / "b.txt").write_text("a\nb\n")
    told = one_line(attentio("train", "luong", "--data.train", "a.txt,b.txt"))
    assert told.startswith("a.txt has 3 lines and b.txt has 2; give files in which")


def test_an_empty_and_a_missing_file_are_named(tmp_path: Path, attentio: Callable) -> None:
    (tmp_path / "empty.tsv").touch()
    told = one_line(attentio("train", "luong", "--data.train", "empty.tsv"))
    assert told == "empty.tsv: the file is empty; give a file with at least one line"
    told = one_line(attentio("train", "luong", "--data.train", "emty.tsv"))
    assert told == "emty.tsv: no such file; did you mean 'empty.tsv'?"


def test_unknown_keys_and_values_suggest_the_nearest(tmp_path: Path, attentio: Callable) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ndata: {train: dates:train, dev: dates:dev}\nmodel: {cel: gru}\n")
    assert one_line(attentio("train", "mine.yaml")).endswith(
        "unknown key 'model.cel' in mine.yaml; did you mean 'model.cell'?"
    )
    assert "did you mean 'training.warmup'?" in one_line(attentio("train", "luong", "--training.warmpu", "3"))
    assert "did you mean 'bahdanau'?" in one_line(attentio("train", "luong", "--model.attention", "bahdanua"))
    assert "did you mean 'bahdanau'?" in one_line(attentio("train", "bahdanua"))


@pytest.fixture
def run(tmp_path: Path, attentio: Callable, drawn: int) -> Path:
    options = OPTIONS | write_task(tmp_path, reverse, seed=drawn) | {"training.max_steps": 2, "training.seed": drawn}
    assert attentio("train", "luong", "--run", tmp_path / "run", *as_arguments(options)).returncode == 0
    return tmp_path / "run"


def test_a_truncated_or_altered_checkpoint_is_named(tmp_path: Path, attentio: Callable, run: Path, drawn: int) -> None:
    model = Checkpoints(run).path("best") / "model.safetensors"
    whole = model.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1])):
        model.write_bytes(content)
        told = one_line(attentio("translate", run, given=b"abc\n"))
        assert told.startswith(f"{model} has been truncated or altered since it was saved; write the name of another")
    resumed = attentio("train", run, "--training.max_steps", 4)
    assert resumed.returncode == 2
    told = resumed.stderr.decode().splitlines()[-1]  # after what is said about the data
    assert told == (
        f"attentio: {model} has been truncated or altered since it was saved; "
        f"write the name of another step in {run}/checkpoints into {run}/last, or train again"
    )
    assert model.read_bytes() == content


def test_bad_lines_are_skipped_counted_and_reported(tmp_path: Path, attentio: Callable, drawn: int) -> None:
    good = write_words(tmp_path / "good.tsv", reverse, count=50, seed=drawn).read_bytes()
    (tmp_path / "mixed.tsv").write_bytes(b"".join(line + b"\n" + good for line, _ in BAD_LINES.values()))
    options = OPTIONS | {
        "data.train": "mixed.tsv",
        "data.dev": "good.tsv",
        "data.test": "mixed.tsv",
        "data.bad_lines": "skip",
        "training.max_steps": 1,
    }
    done = attentio("train", "luong", "--run", "run", *as_arguments(options))
    assert done.returncode == 0
    told = done.stderr.decode()
    assert f"mixed.tsv: {50 * len(BAD_LINES)} pairs" in told
    assert f"skipped {len(BAD_LINES)} bad lines; the first: mixed.tsv:1: empty line; fill or remove it" in told
    facts = json.loads((tmp_path / "run" / "data.json").read_text())["train"]
    assert len(facts["skipped"]) == len(BAD_LINES)
    assert facts["pairs"] == 50 * len(BAD_LINES)
    done = attentio("evaluate", "run", "--beam", 1)
    assert f"skipped {len(BAD_LINES)} bad lines" in done.stdout.decode()
    report = json.loads((tmp_path / "run" / "evaluation" / "scores.json").read_text())
    assert report["skipped_lines"] == len(BAD_LINES)
