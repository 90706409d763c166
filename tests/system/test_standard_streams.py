"""What a command writes to standard output arrives there, whatever standard output and standard error are."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_pairs import as_arguments, reverse, write_task
from toy_texts import write_round

pty = pytest.importorskip("pty", reason="pseudo-terminals are of Unix")

TEXT = b"abc\nbad\ncab\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Path:
    """Runs of two updates: what they say does not matter here, only where."""
    folder = tmp_path_factory.mktemp("runs")
    tiny = {"training.max_steps": 2, "training.validate_every": 2, "training.validation_size": 2, "training.seed": 3}
    pairs = write_task(folder, reverse, seed=3) | {"model.hidden": 8}
    trainings = {"pairs": ["luong", *as_arguments(tiny | pairs)]}
    config = write_round(folder, type="causal-lm", seed=3)
    trainings["causal-lm"] = [str(config), *as_arguments(tiny)]
    for name, words in trainings.items():
        subprocess.run([programs / "attentio", "train", *words, "--run", folder / name], check=True)
    (folder / "few.tsv").write_text("abc\tcba\n", encoding="utf-8")
    return folder


COMMANDS = {
    "translate": (["translate", "pairs"], TEXT),
    "n-best": (["translate", "pairs", "--n-best", "2"], TEXT),
    "align": (["align", "pairs"], b"abc\tab\n"),
    "generate": (["generate", "causal-lm", "one two", "--seed", "1", "--max-tokens", "5"], b""),
    "perplexity": (["evaluate", "causal-lm"], b""),
    "evaluate": (["evaluate", "pairs", "--data", "few.tsv"], b""),
}


@pytest.fixture
def terminal() -> Iterator[int]:
    """A pseudo-terminal; what is written to it is read away, or the writer would wait."""
    leader, follower = pty.openpty()
    reader = subprocess.Popen(["cat"], stdin=leader, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield follower
    os.close(follower)
    os.close(leader)
    reader.wait(timeout=30)


@pytest.fixture
def run(runs: Path, programs: Path, environment: dict[str, str]) -> Callable[..., Any]:
    def run(words: list[str], given: bytes, **streams: Any) -> Any:
        command = [programs / "attentio", *words]
        return subprocess.run(command, input=given, cwd=runs, env=environment, timeout=120, check=False, **streams)

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_the_same_in_a_pipe_and_in_a_file_beside_a_terminal(
    name: str, run: Callable[..., Any], terminal: int, tmp_path: Path
) -> None:
    words, given = COMMANDS[name]
    plain = run(words, given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert plain.returncode == 0, plain.stderr.decode()
    assert plain.stdout
    with (tmp_path / "out").open("wb") as file:
        filed = run(words, given, stdout=file, stderr=terminal)
    assert filed.returncode == 0
    stable = [line for line in plain.stdout.splitlines() if b" s" not in line]  # not how many seconds it took
    written = (tmp_path / "out").read_bytes()
    assert [line for line in written.splitlines() if b" s" not in line] == stable
