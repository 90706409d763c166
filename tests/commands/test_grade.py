"""attentio grade: one submission, and a folder of them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

RIGHT = """
import torch

print("this is no part of the answer")

def attention(query, keys, W, U, v, mask=None):
    e = torch.tanh((query @ W.T)[:, :, None] + (keys @ U.T)[:, None]) @ v
    if mask is not None:
        e = e.masked_fill(mask == 0, -1e9)
    a = e.softmax(-1)
    return a @ keys, a
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {
        "kim.py": RIGHT,
        "lee.py": RIGHT.replace("torch.tanh", "torch.relu"),
        "park.py": "def attention(query, keys):\n    return query.missing",
        "choi.py": "def attenton(query, keys):\n    return keys",
        "jung.py": "import os\nos._exit(3)",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_right_code_is_exit_code_0(folder: Path, attentio: Callable) -> None:
    said = attentio("grade", f"{folder / 'kim.py'}:attention", "bahdanau")
    assert said.code == 0
    assert said.out.startswith("bahdanau: right  (")
    assert "no part of the answer" not in said.out


def test_a_mistake_is_exit_code_1_in_the_language_of_the_system(
    folder: Path, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{folder / 'lee.py'}:attention"
    monkeypatch.setenv("LANGUAGE", "ko")
    said = attentio("grade", target, "bahdanau")
    assert said.code == 1
    assert "tanh 자리에 ReLU가 있습니다" in said.out
    said = attentio("grade", target, "bahdanau", "--language", "en", "--json", "--seed", "7")
    content = json.loads(said.out)
    assert (content["deviations"], content["seed"]) == (["relu"], 7)


def test_a_folder_gives_a_table_whatever_the_submissions_do(folder: Path, attentio: Callable) -> None:
    table = folder / "table.csv"
    said = attentio("grade", folder, "bahdanau", "--name", "attention", "--csv", table, "--language", "en")
    assert said.code == 1
    assert "1 of 5 are right" in said.out
    rows = {row["file"]: row for row in csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines())}
    assert rows["kim.py"]["right"] == "yes"
    assert (rows["lee.py"]["right"], rows["lee.py"]["deviations"]) == ("no", "relu")
    assert "park.py, line 2)" in rows["park.py"]["said"]
    assert "did you mean 'attenton'?" in rows["choi.py"]["said"]
    assert "ended its process with code 3" in rows["jung.py"]["said"]


def test_a_submission_that_does_not_end_is_left(tmp_path: Path, attentio: Callable) -> None:
    for name in ("hwang.py", "im.py"):
        (tmp_path / name).write_text("import time\ntime.sleep(600)")
    table = tmp_path / "table.csv"
    said = attentio("grade", tmp_path, "bahdanau", "--name", "attention", "--csv", table, "--timeout", "0.5")
    assert said.code == 1
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 2
    for row in rows:
        assert row["said"].endswith(f"{row['file']}:attention did not end within 0.5 seconds; --timeout gives it more")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["kim.py:attention", "bahdanaw"], "no paper 'bahdanaw'; did you mean 'bahdanau'?"),
        (["kim.py", "bahdanau"], "kim.py: write MODULE:FUNCTION or path/to/file.py:FUNCTION"),
        (["kim.py:attension", "bahdanau"], "kim.py has no function 'attension'; did you mean 'attention'?"),
        ([".", "bahdanau"], "is a folder; say with --name which function"),
        (["kim.py:attention", "bahdanau", "--csv", "x.csv"], "--name and --csv are for a folder"),
        (
            ["kim.py:attention", "bahdanau", "--timeout", "0"],
            "--timeout: must be a number above 0 and at most 86400, got '0'",
        ),
    ],
)
def test_a_mistake_of_the_caller_is_one_line(
    words: list[str], told: str, folder: Path, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    said = attentio("grade", *words)
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1
