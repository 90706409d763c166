"""The command line as people call it: in a process of its own, without the tests' checks of types."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STARTED = [sys.executable, "-m", "attentio.commands.main"]
"""What may be killed, and what is tested of a start, is no fork."""


@pytest.fixture
def command(programs: Path) -> list[str]:
    """Of `attentio`, to run to its end."""
    return [str(programs / "attentio")]


@pytest.fixture
def environment() -> dict[str, str]:
    """Of the processes."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture
def drawn() -> int:
    """A fresh seed, printed. It seeds the processes' runs, not this one."""
    seed = secrets.randbelow(2**31)
    print(f"seed = {seed}")
    return seed


@pytest.fixture
def attentio(
    tmp_path: Path, environment: dict[str, str], command: list[str]
) -> Callable[..., "subprocess.CompletedProcess[bytes]"]:
    """Runs a command to its end, with bytes on its standard input."""

    def run(*words: object, given: bytes = b"", timeout: float = 300) -> "subprocess.CompletedProcess[bytes]":
        done = subprocess.run(
            [*command, *map(str, words)],
            input=given,
            capture_output=True,
            timeout=timeout,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        print(done.stderr.decode())
        return done

    return run


@pytest.fixture
def started(tmp_path: Path, environment: dict[str, str]) -> Any:
    """Starts commands in the background, and ends those that a failing test left."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: object) -> "subprocess.Popen[str]":
        processes.append(
            subprocess.Popen(
                [*STARTED, *map(str, words)],
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=environment,
                cwd=tmp_path,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
