"""Signals, kills and a second process: the same command ends where the undisturbed run ends."""

import csv
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_task

from attentio.training.checkpoint import Checkpoints

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
    for which in ("best", "last"):
        saved = Checkpoints(run).load(which, "model.safetensors", "training.safetensors")
        found[which] = saved.path.name
        for name, tensors in saved.tensors.items():
            found |= {f"{which} {name} {key}": tensor.numpy().tobytes() for key, tensor in tensors.items()}
    with (run / "metrics.csv").open(newline="") as file:
        found["rows"] = [
            {key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(file)
        ]
    return found


def test_a_killed_and_resumed_run_ends_in_the_weights_of_the_undisturbed_one(
    tmp_path: Path, attentio: Callable, started: Callable, drawn: int
) -> None:
    draw = random.Random(drawn)
    command = train(tmp_path, drawn, 500)
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
        assert ("stopped and saved" in rest) == (number != signal.SIGKILL)
        if number != signal.SIGKILL:
            step = Checkpoints(tmp_path / "killed").load("last").facts["step"]
            assert f"stopped and saved at step {step};" in rest
    assert attentio(*command, "--run", "killed").returncode == 0
    assert fingerprint(tmp_path / "killed") == fingerprint(tmp_path / "undisturbed")
    again = attentio(*command, "--run", "killed")
    assert again.returncode == 0
    assert b"finished at step 500" in again.stderr


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


def test_a_run_that_was_copied_or_lost_its_pointers_goes_on(tmp_path: Path, attentio: Callable, drawn: int) -> None:
    command = train(tmp_path, drawn, 5)
    assert attentio(*command, "--run", "run").returncode == 0
    run = tmp_path / "run"
    for which in ("best", "last"):
        (run / which).unlink()
        (run / which).symlink_to("checkpoints/step-000005")
    followed = Path(shutil.copytree(run, tmp_path / "followed"))  # as `cp -rL` does
    assert (followed / "last").is_dir()
    lost = Path(shutil.copytree(run, tmp_path / "lost", ignore=shutil.ignore_patterns("best", "last")))
    before = {path: path.read_bytes() for path in lost.glob("tokenizer/*")}
    for folder, told in ((run, "."), (followed, "."), (lost, f", the newest whole checkpoint: {lost}/last is missing")):
        more = attentio("train", folder, "--training.max_steps", 7)
        assert more.returncode == 0
        assert f"going on after step 5{told}".rstrip(".") in more.stderr.decode()
        assert (folder / "last").read_text() == "step-000007\n"
    assert before == {path: path.read_bytes() for path in lost.glob("tokenizer/*")}
    assert fingerprint(run) == fingerprint(followed) == fingerprint(lost)
    (lost / "checkpoints" / "step-000007" / "checkpoint.json").write_text("{")
    refused = attentio("train", lost)
    assert refused.returncode == 2
    assert b"checkpoint.json is damaged; write the name of another step" in refused.stderr


def test_training_goes_on_when_nobody_reads_what_it_says(
    tmp_path: Path, started: Any, attentio: Callable, drawn: int
) -> None:
    """As under `2> >(head -1)`."""
    command = [*train(tmp_path, drawn, 120), "--training.log_every", "1"]
    process = started(*command, "--run", "run")
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=200) == 0
    assert attentio(*command, "--run", "heard").returncode == 0
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "heard")


def test_a_folder_that_cannot_be_locked_is_one_line(tmp_path: Path, attentio: Callable, drawn: int) -> None:
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for folder in ("run", "file"):
        done = attentio(*train(tmp_path, drawn, 5), "--run", folder)
        assert done.returncode == 2
        told = done.stderr.decode()
        assert told.startswith(f"attentio: cannot write to {folder}: ")
        assert told.count("\n") == 1
