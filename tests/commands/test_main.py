"""The command line itself: quick help, exit codes, one line for a user's mistake."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from attentio.commands import main as module
from attentio.commands.main import VERBS, main
from attentio.errors import AttentioError

HEAVY = ("torch", "datasets", "matplotlib", "tokenizers", "lightning_fabric", "numpy", "sacrebleu")
HELP = f"""
import sys
from attentio.commands.main import main
try:
    main(sys.argv[1:])
except SystemExit as left:
    assert not left.code
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_waits_for_nothing_heavy(verb: str) -> None:
    words = [verb, "--help"] if verb else ["--help"]
    said = subprocess.run([sys.executable, "-c", HELP, *words], capture_output=True, text=True, check=True)
    assert "usage: attentio" in said.stdout
    assert said.stderr.strip() == "[]"


def test_importing_the_package_does_not_wait_for_torch() -> None:
    check = "import sys, attentio; assert 'torch' not in sys.modules; assert 'attend' in dir(attentio)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_module_is_the_command_and_tells_its_version() -> None:
    said = subprocess.run([sys.executable, "-m", "attentio", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"attentio {version('attentio')}\n"


def test_help_names_every_verb_and_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    overview = capsys.readouterr().out
    assert all(verb in overview for verb in VERBS)
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "luong" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["train", "loung"],
        ["train", "luong", "--training.max_step", "3"],
        ["evaluate", "nowhere"],
        ["translate", "nowhere"],
        ["look", "nowhere", "text"],
        ["compare", "nowhere"],
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(attentio: Callable, words: list[str]) -> None:
    said = attentio(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("attentio: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["trian"],
        ["evaluate"],
        ["look", "run"],
        ["translate", "run", "--beam", "0"],
        ["translate", "run", "--beam", "many"],
        ["translate", "run", "--n-best", "-1"],
        ["translate", "run", "--length-penalty", "-0.5"],
        ["translate", "run", "--decoding.beam", "3"],
        ["evaluate", "run", "--bea", "3"],
    ],
)
def test_a_wrong_call_has_exit_code_2(attentio: Callable, words: list[str]) -> None:
    said = attentio(*words)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "attentio" in said.err.splitlines()[-1]


@pytest.mark.parametrize(("error", "code"), [(AttentioError("what, where"), 2), (KeyboardInterrupt(), 130)])
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def failing(*_: object) -> int:
        raise error

    monkeypatch.setattr("attentio.commands.look.run", failing)
    assert main(["look", "run", "text"]) == code
    assert capsys.readouterr().err == ("attentio: what, where\n" if code == 2 else "")


def test_a_mistake_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise ValueError("a bug")

    monkeypatch.setattr("attentio.commands.look.run", failing)
    with pytest.raises(ValueError, match="a bug"):
        module.main(["look", "run", "text"])
