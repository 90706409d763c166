"""A score and a normalization of the user's own: trained, used, shown, compared, diagnosed; and never run unasked."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_pairs import OPTIONS, as_arguments, reverse, write_words

import attentio as at
from attentio.errors import AttentioError
from attentio.layers.own_score import OwnScore
from attentio.runs.translator import Run

CODE = """
import torch
from torch import nn


class MyScore(nn.Module):
    def __init__(self, query_features, memory_features):
        super().__init__()
        self.project = nn.Linear(memory_features, query_features)

    def forward(self, query, key):
        return -torch.cdist(query, self.project(key))


def halved(scores):
    return scores.softmax(-1) / 2
"""
MODEL = {"model.score": "my_score.py:MyScore", "model.normalize": "my_score.py:halved", "model.hidden": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def options(folder: Path) -> list[str]:
    (folder / "my_score.py").write_text(CODE)
    data = write_words(folder / "pairs.tsv", reverse, count=60, seed=1)
    few = {"training.max_steps": 4, "training.validate_every": 4, "training.validation_size": 5}
    return as_arguments(OPTIONS | few | {"data.train": data, "data.dev": data} | MODEL)


@pytest.fixture(scope="module")
def trained(folder: Path, options: list[str]) -> Path:
    from attentio.commands.main import main

    run = folder / "run"
    assert main(["train", "luong", "--run", str(run), "--allow-code", str(folder / "my_score.py"), *options]) == 0
    return run


def loaded(run: Path, code: Path) -> Run:
    found = at.load(run, device="cpu", allow_code=code)
    assert isinstance(found, Run)
    return found


def test_the_model_attends_as_its_code_says(trained: Path, folder: Path) -> None:
    run = loaded(trained, folder / "my_score.py")
    score = run.model.decoder.attention.score
    assert isinstance(score, OwnScore)
    (output,) = run.translate(["abcd"])
    torch.testing.assert_close(output.attention.sum(1), torch.full((len(output.tokens),), 0.5))
    state, source = torch.randn(2, 3, 16), torch.randn(2, 5, run.model.encoder.features)
    keys = score.function.project(source)
    expected = [
        [[-(q - k).norm().item() for k in k_row] for q in q_row] for q_row, k_row in zip(state, keys, strict=True)
    ]
    torch.testing.assert_close(score.comparison()(state, source), torch.tensor(expected), rtol=1e-3, atol=1e-4)


def test_it_is_shown_step_by_step(trained: Path, folder: Path) -> None:
    inspected = loaded(trained, folder / "my_score.py").inspect("abcd")
    assert inspected.seen[0].alpha is None
    assert inspected.walks is not None
    assert inspected.walks[0].comparison is not None
    assert inspected.walks[0].comparison.kind == "own"
    assert inspected.walks[0].codes["normalize"] == "α = normalize(score)"
    inspected.page()


@pytest.mark.parametrize("verb", ["evaluate", "translate", "look", "doctor"])
def test_without_being_asked_for_it_does_not_run(trained: Path, folder: Path, attentio: Callable, verb: str) -> None:
    words = {"look": ["abcd"], "translate": [], "evaluate": [], "doctor": []}[verb]
    said = attentio(verb, trained, *words)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "model.score is my_score.py:MyScore, code that runs only where it is asked for" in said.err
    assert "--allow-code my_score.py" in said.err


def test_the_verbs_take_it(trained: Path, folder: Path, attentio: Callable, tmp_path: Path) -> None:
    allowed = ("--allow-code", folder / "my_score.py")
    assert attentio("translate", trained, *allowed, given=b"abc\n").code == 0
    said = attentio("compare", trained, "--out", tmp_path / "out", "--data", folder / "pairs.tsv", *allowed)
    assert said.code == 0, said.err
    bundle = tmp_path / "own.zip"
    assert attentio("export", trained, "--to", "bundle", "--out", bundle, *allowed).code == 0
    with pytest.raises(AttentioError, match="runs only where it is asked for"):
        at.load(bundle)
    assert isinstance(at.load(bundle, device="cpu", allow_code=[folder / "my_score.py"]), Run)


def test_a_changed_source_is_told(
    trained: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loaded(trained, folder / "my_score.py")
        assert not caplog.messages
        changed = tmp_path / "my_score.py"
        changed.write_text(CODE + "\n# another line\n")
        loaded(trained, changed)
    assert caplog.messages == [f"my_score.py has changed since {trained} was trained with it"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("", "has no function 'MyScore'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("class MyScore:\n    def __init__(self, other): ...\ndef halved(s): ...", "cannot be made: TypeError"),
    ],
)
def test_code_that_does_not_work_is_told_in_a_line(trained: Path, tmp_path: Path, code: str, told: str) -> None:
    broken = tmp_path / "my_score.py"
    broken.write_text(code)
    with pytest.raises(AttentioError, match=told) as raised:
        at.load(trained, allow_code=broken)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("score", "place", "told"),
    [
        ("return query @ key", "my_score.py:12: ", "RuntimeError"),
        ("raise SystemExit(7)", "my_score.py:12: ", "SystemExit: 7"),
        ("return query.sum(-1)", "my_score.py: ", "score must return a number for each query and key"),
    ],
)
def test_code_that_fails_when_it_is_used_is_named(
    trained: Path, tmp_path: Path, attentio: Callable, score: str, place: str, told: str
) -> None:
    broken = tmp_path / "my_score.py"
    broken.write_text(CODE.replace("return -torch.cdist(query, self.project(key))", score))
    said = attentio("translate", trained, "--allow-code", broken, given=b"abc\n")
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert line.startswith(f"attentio: {broken.parent}{os.sep}{place}")
    assert told in line


def test_a_refused_training_leaves_no_folder(tmp_path: Path, options: list[str], attentio: Callable) -> None:
    run = tmp_path / "new" / "run"
    broken = tmp_path / "my_score.py"
    broken.write_text(CODE.replace("super().__init__()", "raise SystemExit(3)"))
    said = attentio("train", "luong", "--run", run, "--allow-code", broken, *options)
    assert said.code == 2
    assert f"my_score.py:MyScore cannot be made: SystemExit: 3 ({broken}, line 8)" in said.err
    assert not run.exists()


def test_a_value_that_is_neither_a_name_nor_code_is_refused(attentio: Callable) -> None:
    said = attentio("train", "luong", "--model.score", "genral")
    assert said.code == 2
    assert "model.score must be dot, general, concat, location, FILE.py:NAME; got genral" in said.err


def test_a_parameter_that_nothing_depends_on_keeps_no_run_from_going_on(
    tmp_path: Path, options: list[str], attentio: Callable
) -> None:
    code = tmp_path / "my_score.py"
    code.write_text(CODE.replace("        self.project", "        self.spare = nn.Linear(2, 2)\n        self.project"))
    command = ["train", "luong", "--run", tmp_path / "run", "--allow-code", code, *options]
    assert attentio(*command).code == 0
    said = attentio(*command, "--training.max_steps", "6")
    assert said.code == 0, said.err
    assert "going on after step 4" in said.err
