"""Our side of the benchmarks: `attentio` run in a process of its own, as a user runs it."""

import csv
import json
import shutil
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import peers

HERE = Path(__file__).parent
ATTENTIO = Path(sys.executable).with_name("attentio")
CALIBRATION = {
    "--training.max_steps": "60",
    "--training.log_every": "20",
    "--training.validate_every": "60",
    "--training.checkpoint_every": "60",
}


def train(
    *,
    config: str,
    data: Mapping[str, str],
    run: Path,
    warm_up: int,
    updates: int,
    log_every: int,
    threads: int,
) -> dict:
    """Train `configs/CONFIG.yaml`, or the preset of that name, and read the throughput after the warm-up from the run's
    `metrics.csv`.

    A row's `target_tokens_per_second` is that of the updates since the row before; `seconds` is the time
    spent in updates since the run's start.

    Args:
        data: options of `attentio train` that say what to train on.
        run: folder for the output and the run directory, which is `run/run`; emptied first.
        warm_up, updates: thrown away, and timed.
        log_every: in updates; divides both.
    """
    shutil.rmtree(run, ignore_errors=True)  # an earlier benchmark's run would be resumed
    run.mkdir(parents=True)
    steps = warm_up + updates
    path = HERE / "configs" / f"{config}.yaml"
    which = path if path.exists() else config
    options = {
        "--run": run / "run",
        **data,
        "--training.max_steps": steps,
        "--training.log_every": log_every,
        "--training.validate_every": steps,
        "--training.checkpoint_every": steps,
    }
    command = [ATTENTIO, "train", which, *(str(word) for option in options.items() for word in option)]
    peers.launch(command, threads=threads, log=run / "output.txt")
    seconds = tokens = 0.0
    for before, row in pairwise(metrics(run / "run")):
        if int(row["step"]) > warm_up:
            elapsed = float(row["seconds"]) - float(before["seconds"])
            seconds += elapsed
            tokens += float(row["target_tokens_per_second"]) * elapsed
    return {
        "target_tokens_per_second": tokens / seconds,
        "target_tokens": round(tokens),
        "updates": updates,
        "seconds": seconds,
        "versions": peers.versions(Path(sys.executable), ("attentio", "torch")),
        "config": (run / "run" / "config.yaml").read_text(encoding="utf-8"),
    }


def evaluate(run: Path, *, threads: int) -> dict:
    """What `attentio evaluate` measures of a language model, by the metrics' names, and its other figures."""
    peers.launch([ATTENTIO, "evaluate", run], threads=threads, log=run / "evaluate.txt")
    report = json.loads((run / "evaluation" / "scores.json").read_text(encoding="utf-8"))
    return {
        **{score["name"]: score["value"] for score in report["scores"]},
        **{key: report[key] for key in ("tokens", "unknown_tokens", "parameters")},
    }


def metrics(run: Path) -> list[dict[str, str]]:
    """The rows of a run directory's `metrics.csv`."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def seconds_per_update(*, config: str, options: Mapping[str, str], run: Path, threads: int) -> float:
    """Train a preset or YAML file for a moment, in `run/run`, and say how long an update takes."""
    train_fully(config=config, options={**options, **CALIBRATION}, run=run, threads=threads)
    first, *_, last = metrics(run / "run")
    return (float(last["seconds"]) - float(first["seconds"])) / (int(last["step"]) - int(first["step"]))


def train_fully(*, config: str, options: Mapping[str, str], run: Path, threads: int) -> dict:
    """Train a preset or YAML file to its end, in `run/run`; `run` is emptied first."""
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    command: list[str | Path] = [ATTENTIO, "train", config, "--run", run / "run"]
    peers.launch(
        [*command, *(word for option in options.items() for word in option)], threads=threads, log=run / "output.txt"
    )
    last = metrics(run / "run")[-1]
    return {
        "updates": int(last["step"]),
        "minutes": float(last["seconds"]) / 60,
        "versions": peers.versions(Path(sys.executable), ("attentio", "torch")),
        "config": (run / "run" / "config.yaml").read_text(encoding="utf-8"),
    }
