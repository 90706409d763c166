"""Small tasks are learnt from the command line, in seconds, with a pinned seed (`make test-seeds` draws others)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_task


def evaluated(attentio: Callable, run: Path) -> dict[str, float]:
    assert attentio("evaluate", run, "--beam", 1).returncode == 0
    report = json.loads((run / "evaluation" / "scores.json").read_text())
    return {score["name"]: score["value"] for score in report["scores"]}


@pytest.mark.parametrize(
    ("preset", "task", "least"), [("luong", reverse, 90), ("bahdanau", reverse, 90), ("delayed", str, 90)]
)
def test_copy_and_reverse_are_learnt(
    tmp_path: Path, attentio: Callable, training_seed: int, preset: str, task: Callable[[str], str], least: float
) -> None:
    """Copied by the delayed decoder, reversed by the others."""
    options = OPTIONS | write_task(tmp_path, task, seed=training_seed) | {"training.seed": training_seed}
    run = tmp_path / "run"
    assert attentio("train", preset, "--run", run, *as_arguments(options)).returncode == 0
    assert evaluated(attentio, run)["exact"] >= least
    said = attentio("translate", run, given=b"abcd\n\nhgfe\nbadc\n")
    lines = said.stdout.decode().split("\n")
    assert len(lines) == 5
    assert lines[1] == ""
    assert sum(lines[i] == task(word) for i, word in ((0, "abcd"), (2, "hgfe"), (3, "badc"))) >= 2


def test_the_plain_decoder_runs(tmp_path: Path, attentio: Callable, training_seed: int) -> None:
    options = (
        OPTIONS
        | write_task(tmp_path, reverse, seed=training_seed)
        | {"training.seed": training_seed, "training.max_steps": 20}
    )
    run = tmp_path / "run"
    assert attentio("train", "none", "--run", run, *as_arguments(options)).returncode == 0
    assert evaluated(attentio, run).keys() == {"exact", "per"}


def test_dates_are_learnt(tmp_path: Path, attentio: Callable, training_seed: int) -> None:
    """Of days that do not occur in training, in fourteen locales; a prediction by chance is never right."""
    options = {
        "model.embedding": 48,
        "model.hidden": 96,
        "model.input_feeding": "false",
        "training.max_steps": 400,
        "training.learning_rate": 0.01,
        "training.warmup": 50,
        "training.validate_every": 400,
        "training.validation_size": 20,
        "training.seed": training_seed,
    }
    assert attentio("train", "luong", "--run", tmp_path / "run", *as_arguments(options)).returncode == 0
    found = evaluated(attentio, tmp_path / "run")
    assert found["exact"] >= 95
    assert found["per"] <= 1
