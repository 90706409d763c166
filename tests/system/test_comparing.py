"""attentio compare: several variants, one budget, one table."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_pairs import OPTIONS, as_arguments, reverse, write_task

from attentio.training.checkpoint import Checkpoints


def test_two_variants_are_compared_and_the_same_command_goes_on(tmp_path: Path, attentio: Callable, drawn: int) -> None:
    options = OPTIONS | write_task(tmp_path, reverse, seed=drawn) | {"training.max_steps": 20}
    (tmp_path / "two.yaml").write_text(
        "base: luong\nvariants:\n  dot: {model.score: dot, model.hidden: 32}\n  none: {model.attention: none}\n"
    )
    command = ["compare", "two.yaml", "--out", "out", *as_arguments(options | {"training.log_every": 10})]
    done = attentio(*command)
    assert done.returncode == 0
    shown = done.stdout.decode()
    assert all(name in shown for name in ("dot", "none", "exact", "parameters", "peak MB"))
    out = tmp_path / "out"
    outcomes = json.loads((out / "compare.json").read_text())
    assert [outcome["variant"] for outcome in outcomes] == ["dot", "none"]
    for outcome in outcomes:
        report = json.loads((out / outcome["variant"] / "evaluation" / "scores.json").read_text())
        (run,) = outcome["runs"]
        assert run["scores"] == {score["name"]: score["value"] for score in report["scores"]}
        assert run["parameters"] == report["parameters"]
        assert run["peak_megabytes"] > 50
        assert run["target_tokens_per_second"] > 0
    assert outcomes[0]["runs"][0]["parameters"] != outcomes[1]["runs"][0]["parameters"]
    table = (out / "compare.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table] == ["| variant", "| ---", "| dot", "| none"]
    for picture in ("compare.png", "by-length.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_comparison_that_is_stopped_stops_its_training_which_saves(
    tmp_path: Path, started: Callable, drawn: int, number: signal.Signals
) -> None:
    options = OPTIONS | write_task(tmp_path, reverse, seed=drawn)
    options |= {"training.max_steps": 100_000, "training.log_every": 1, "training.validate_every": 100_000}
    process = started("compare", "luong", "--out", "out", *as_arguments(options))
    for line in process.stderr:
        if line.startswith("step "):
            break
    process.send_signal(number)
    rest = process.stderr.read()  # until the training has ended too
    assert process.wait() == 128 + number, rest
    (stopped,) = re.findall(r"stopped and saved at step (\d+);", rest)
    run = tmp_path / "out" / "luong"
    assert Checkpoints(run).load("last", "model.safetensors").facts["step"] == int(stopped)
    assert json.loads((run / "memory.json").read_text()) > 50
