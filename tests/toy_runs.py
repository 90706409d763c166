"""Tiny trained runs, each made once."""

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from toy_pairs import OPTIONS, as_arguments, reverse, write_task
from toy_texts import write_round

from attentio.commands.main import main


class Toy(NamedTuple):
    """A run that has learnt to reverse words, and its dev file."""

    run: Path
    dev: Path


class Said(NamedTuple):
    code: int
    out: str
    err: str


def made_once(name: str, make: Callable[[Path], object], factory: pytest.TempPathFactory) -> Path:
    """A folder of this test process's own, with what `make(folder)` wrote for the first of the processes that asked."""
    base = factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"made-{name}"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            made.mkdir()
            make(made)
    return Path(shutil.copytree(made, factory.mktemp(name) / "made", symlinks=True))


@pytest.fixture(scope="session")
def toy(training_seed: int, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    def make(folder: Path) -> None:
        options = OPTIONS | write_task(folder, reverse, seed=training_seed) | {"training.seed": training_seed}
        arguments = as_arguments(options | {"model.input_feeding": "false"})
        assert main(["train", "luong", "--run", str(folder / "run"), *arguments]) == 0

    folder = made_once("toy", make, tmp_path_factory)
    return Toy(folder / "run", folder / "dev.tsv")


@pytest.fixture(scope="session")
def toy_without_attention(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("none")
    data = {"data.train": toy.dev, "data.dev": toy.dev, "data.test": "null", "training.max_steps": 2}
    assert main(["train", "none", "--run", str(folder / "run"), *as_arguments(OPTIONS | data)]) == 0
    return folder / "run"


def language_run(type: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        assert main(["train", str(write_round(folder, type=type, seed=seed)), "--run", str(folder / "run")]) == 0

    return made_once(type, make, tmp_path_factory) / "run"


@pytest.fixture(scope="session")
def masked(training_seed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model that knows the round of `toy_texts`."""
    return language_run("masked-lm", training_seed, tmp_path_factory)


@pytest.fixture(scope="session")
def causal(training_seed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal one."""
    return language_run("causal-lm", training_seed, tmp_path_factory)


@pytest.fixture
def attentio(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs the command line in this process, with bytes on its standard input."""

    def run(*arguments: object, given: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:  # argparse
            code = int(left.code or 0)
        return Said(code, *capsys.readouterr())

    return run
