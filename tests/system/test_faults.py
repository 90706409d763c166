"""Signals, kills and a second process: the same command ends where the undisturbed run ends."""

import csv
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from toy_pairs import OPTIONS, as_arguments, reverse, write_task

EXIT_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
SMALL = {
    "model.embedding": 8,
    "model.hidden": 16,
    "model.input_feeding": "false",
    "training.batch_tokens": 128,
    "training.average": 0.99,
    "training.validate_every": 60,
    "training.validation_size": 10,
    "training.checkpoint_every": 20,
    "training.log_every": 10,
}


def train(folder: Path, seed: int, steps: int) -> list[str]:
    """Of a command, all but the run directory."""
    data = write_task(folder, reverse, seed=seed)
    options = OPTIONS | SMALL | data | {"training.seed": seed, "training.max_steps": steps}
    return ["train", "luong", *as_arguments(options)]


def wait_for_a_row(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step "):
            return
    pytest.fail(f"training ended with {process.wait()} before its first row")


def fingerprint(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for link in ("best", "last"):
        found[link] = (run / link).resolve().name
        for name in ("model.safetensors", "training.safetensors"):
            for key, tensor in load_file(run / link / name).items():
                found[f"{link} {name} {key}"] = tensor.numpy().tobytes()
    with (run / "metrics.csv").open(newline="") as file:
        found["rows"] = [
            {key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(file)
        ]
    return found


def test_a_killed_and_resumed_run_ends_in_the_weights_of_the_undisturbed_one(
    tmp_path: Path, attentio: Callable, started: Callable, drawn: int
) -> None:
    draw = random.Random(drawn)
    command = train(tmp_path, drawn, 800)
    assert attentio(*command, "--run", "undisturbed").returncode == 0
    signals = list(EXIT_CODES)
    draw.shuffle(signals)
    for number in signals:
        process = started(*command, "--run", "killed")
        wait_for_a_row(process)
        time.sleep(draw.uniform(0, 0.25))
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait() == EXIT_CODES[number], rest
        stopped = f"stopped and saved at step {(tmp_path / 'killed' / 'last').resolve().name[5:].lstrip('0')};"
        assert (stopped in rest) == (number != signal.SIGKILL)
    assert attentio(*command, "--run", "killed").returncode == 0
    assert fingerprint(tmp_path / "killed") == fingerprint(tmp_path / "undisturbed")
    again = attentio(*command, "--run", "killed")
    assert again.returncode == 0
    assert b"finished at step 800" in again.stderr


def test_a_second_process_on_a_run_directory_is_refused(
    tmp_path: Path, attentio: Callable, started: Callable, drawn: int
) -> None:
    command = [*train(tmp_path, drawn, 100_000), "--run", "run"]
    first = started(*command)
    wait_for_a_row(first)
    second = attentio(*command)
    assert second.returncode == 2
    assert second.stderr.decode() == ("attentio: another process is training in run; wait, or choose another --run\n")
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143


def test_a_run_is_not_continued_as_another_one(tmp_path: Path, attentio: Callable, drawn: int) -> None:
    command = [*train(tmp_path, drawn, 5), "--run", "run"]
    assert attentio(*command).returncode == 0
    other = attentio(*command, "--model.dropout", "0.25")
    assert other.returncode == 2
    assert b"run was begun with another model.dropout; choose another --run, or remove run" in other.stderr
    (tmp_path / "train.tsv").write_text("abc\tcba\n")
    changed = attentio(*command)
    assert changed.returncode == 2
    assert b"train.tsv has changed since run was begun" in changed.stderr
    (tmp_path / "run" / "data.json").write_text("{}")
    damaged = attentio(*command)
    assert damaged.returncode == 2
    assert b"data.json is damaged" in damaged.stderr
    (tmp_path / "run" / "config.yaml").unlink()
    assert b"run holds checkpoints and no config.yaml" in attentio(*command).stderr
