"""The command line where modules and calls of Linux are missing, and the encoding of texts is not UTF-8."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from test_faults import fingerprint, train, wait_for_a_row

STEPS = 300


@pytest.fixture
def command() -> list[str]:
    """Started anew: what Linux has is taken away at the start."""
    return [sys.executable, "-m", "attentio.commands.main"]


@pytest.fixture
def environment(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The encoding of the locale is ASCII, and Python warns wherever it is asked for, none being given."""
    (tmp_path / "startup").mkdir()
    shutil.copy(Path(__file__).with_name("without_linux.py"), tmp_path / "startup" / "sitecustomize.py")
    path = os.pathsep.join([str(tmp_path / "startup"), *filter(None, [environment.get("PYTHONPATH")])])
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONWARNDEFAULTENCODING": "1"}
    return environment | ascii | {"PYTHONPATH": path, "PYTHONIOENCODING": ""}


def encoding_forgotten(told: str) -> list[str]:
    """Where a text file was opened by attentio without naming its encoding."""
    return [line for line in told.splitlines() if "EncodingWarning" in line and f"{os.sep}attentio{os.sep}" in line]


def test_train_kill_resume_translate_look_and_compare(
    tmp_path: Path, attentio: Callable, started: Callable, drawn: int
) -> None:
    preset = (resources.files("attentio") / "presets" / "luong.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(preset.replace("name: luong", "name: 뒤집기"), encoding="utf-8")
    command = ["train", "mine.yaml", *train(tmp_path, drawn, STEPS)[2:]]
    undisturbed = attentio(*command, "--run", "undisturbed")
    assert undisturbed.returncode == 0
    assert " → ".encode() in undisturbed.stderr  # of the outputs that are shown
    assert not encoding_forgotten(undisturbed.stderr.decode())

    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = started(*command, "--run", "run")
        wait_for_a_row(process)
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait() == code, rest
        assert ("stopped and saved" in rest) == (number == signal.SIGINT)
    assert attentio(*command, "--run", "run").returncode == 0
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "undisturbed")
    assert "뒤집기" in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert not any(path.is_symlink() for path in (tmp_path / "run").rglob("*"))

    said = attentio("translate", "run", given="abc\n한\n".encode())
    assert said.returncode == 0
    assert said.stdout.count(b"\n") == 2
    looked = attentio("look", "run", "abc", "--out", "abc.html")
    assert looked.returncode == 0
    assert "abc" in (tmp_path / "abc.html").read_text(encoding="utf-8")
    shown = attentio("look", "run", "abc")
    assert shown.returncode == 0
    assert " → ".encode() in shown.stdout
    korean = attentio("look", "run", "한a")
    assert korean.returncode == 0
    assert "한a → ".encode() in korean.stdout
    for done in (said, looked, shown, korean):
        assert not encoding_forgotten(done.stderr.decode())


def test_compare_has_no_column_for_memory_that_is_not_told(tmp_path: Path, attentio: Callable, drawn: int) -> None:
    (tmp_path / "two.yaml").write_text("base: luong\nvariants: {plain: {}, none: {model.attention: none}}\n", "utf-8")
    done = attentio("compare", "two.yaml", "--out", "out", *train(tmp_path, drawn, 10)[2:])
    assert done.returncode == 0
    assert not encoding_forgotten(done.stderr.decode())
    outcomes = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert [(one["variant"], one["runs"][0]["peak_megabytes"]) for one in outcomes] == [("plain", None), ("none", None)]
    assert "peak MB" not in (tmp_path / "out" / "compare.md").read_text("utf-8")
