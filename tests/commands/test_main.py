"""The command line itself: quick help, exit codes, one line for a user's mistake."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from attentio.commands.main import VERBS, main
from attentio.errors import AttentioError

HEAVY = ("torch", "datasets", "matplotlib", "tokenizers", "lightning_fabric", "numpy", "sacrebleu")
HELP = f"""
import sys
from attentio.commands.main import main
for words in sys.argv[1:]:
    try:
        main(words.split())
    except SystemExit as left:
        assert not left.code
    print(words, [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def test_help_waits_for_nothing_heavy() -> None:
    asked = ["--help", *(f"{verb} --help" for verb in VERBS)]
    said = subprocess.run([sys.executable, "-c", HELP, *asked], capture_output=True, text=True, check=True)
    assert said.stdout.count("usage: attentio") == len(asked)
    assert said.stderr == "".join(f"{words} []\n" for words in asked)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_load_the_parser_alone(word: str) -> None:
    code = (
        HELP
        + """
assert 'jsonargparse' not in sys.modules
verbs = {name.rpartition('.')[2] for name in sys.modules if name.startswith('attentio.commands.')}
assert verbs == {'main', 'words'}
"""
    )
    subprocess.run([sys.executable, "-c", code, word], check=True)


def test_importing_the_package_does_not_wait_for_torch() -> None:
    check = "import sys, attentio; assert 'torch' not in sys.modules; assert 'attend' in dir(attentio)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("command", [[sys.executable, "-m", "attentio"], [Path(sys.executable).with_name("attentio")]])
def test_the_module_is_the_command_and_tells_its_version(command: list[Any]) -> None:
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
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
        ["look", "no\nwhere", "text"],
        ["compare", "nowhere"],
        ["generate", "run", "--repetition-penalty", "1e-320"],
        ["generate", "run", "--temperature", "inf"],
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
        ["translate", "run", "--length-penalty", "inf"],
        ["translate", "run", "--beam", "300000"],
        ["translate", "run", "--n-best", "300000"],
        ["evaluate", "run", "--beam", "300000"],
        ["generate", "run", "--samples", "300000"],
        ["generate", "run", "--max-tokens", "1" + "0" * 5000],
        ["generate", "run", "--seed", "1e20"],
        ["generate", "run", "--seed", "100000000000000000000"],
        ["translate", "run", "--decoding.beam", "3"],
        ["evaluate", "run", "--bea", "3"],
    ],
)
def test_a_wrong_call_has_exit_code_2(attentio: Callable, words: list[str]) -> None:
    said = attentio(*words)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "attentio" in said.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "code"),
    [(AttentioError("what, where"), 2), (AttentioError("a \x1b[31mred\u202e name"), 2), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def failing(*_: object) -> int:
        raise error

    monkeypatch.setattr("attentio.commands.look.run", failing)
    assert main(["look", "run", "text"]) == code
    told = {"what, where": "what, where", "a \x1b[31mred\u202e name": r"a \x1b[31mred\u202e name"}
    assert capsys.readouterr().err == (f"attentio: {told[str(error)]}\n" if code == 2 else "")


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


@pytest.mark.parametrize("error", [ValueError("a bug\nof two lines"), Panic("at the disco")])
def test_a_mistake_of_the_program_is_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def failing(*_: object) -> int:
        raise error

    monkeypatch.setattr("attentio.commands.look.run", failing)
    assert main(["look", "run", "text"]) == 1
    told = capsys.readouterr().err
    assert re.fullmatch(r"attentio: attentio/commands/main\.py:\d+: \w+: [a-z ]+; --traceback shows all of it\n", told)
    with pytest.raises(type(error)):
        main(["look", "run", "text", "--traceback"])


def in_a_shell(words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)


SHOUT = "import sys; sys.argv[1:] = ['look', 'run', 'text']; from attentio.commands import look, main; "
"""Before a function that takes the place of look.run in a process of its own."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")
@pytest.mark.parametrize(
    ("body", "streams", "code", "told"),
    [
        ("print('result')", ">&-", 2, "attentio: standard output is closed, and this needs it"),
        ("sys.stdin.buffer", "<&-", 2, "attentio: standard input is closed, and this needs it"),
        ("print('of no use', file=sys.stderr)", "<&- >&-", 0, "of no use"),
        ("print('unheard', file=sys.stderr)", "2>&-", 0, ""),
        ("(sys.stdout.isatty(), getattr(sys.stdout, 'encoding', None))", ">&-", 0, ""),
        (
            "open(sys.executable).fileno() > 2 or print('a file as a standard stream', file=sys.stderr)",
            "<&- >&-",
            0,
            "",
        ),
        ("__import__('rich.console').console.Console().print('result')", ">&-", 2, "attentio: standard output is"),
        ("print('result')", "> /dev/full", 2, "attentio: writing: No space left on device"),
    ],
)
def test_a_closed_stream_is_told_to_those_who_need_it(body: str, streams: str, code: int, told: str) -> None:
    if "/dev/full" in streams and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    program = f"{SHOUT}look.run = lambda *_: ({body}, 0)[1]; sys.exit(main.main())"
    done = in_a_shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {streams}")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs users as Unix has them")
@pytest.mark.parametrize(
    ("given", "remedy"), [("", "; --out says where else to write"), (", '--out', 'page.html'", "")]
)
def test_whose_run_may_only_be_read_is_told_of_out(tmp_path: Path, given: str, remedy: str) -> None:
    (tmp_path / "run").mkdir(mode=0o555)
    page = str(tmp_path / "run" / "page.html")
    as_another = "import os; os.geteuid() or os.seteuid(65534); sys.argv[1:] = ['look', 'run', 'text'" + given + "]; "
    program = f"{SHOUT}{as_another}look.run = lambda *_: open({page!r}, 'w'); sys.exit(main.main())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"attentio: {page}: Permission denied; nothing more was written{remedy}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")
@pytest.mark.parametrize("write", ["print", "__import__('rich.console').console.Console().print"])
def test_who_has_read_enough_ends_the_command_without_a_word(write: str) -> None:
    program = f"{SHOUT}look.run = lambda *_: ([{write}('line') for _ in range(20_000)], 0)[1]; sys.exit(main.main())"
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    done = in_a_shell(f"{python} | head -1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.split() == ["line", "141"]
    assert done.stderr == ""


MISTYPED = {
    "trian g2p": "there is no command 'trian'; see attentio --help; did you mean 'train'?",
    "translate cmudict --n-best 0": "argument --n-best: must be a whole number from 1 to 1,000, got '0'; "
    "see attentio translate --help",
    "translate cmudict --max-length-ratio 0": "argument --max-length-ratio: must be a number above 0 and at most 1000, "
    "got '0'; see attentio translate --help",
    "translate cmudict --beem 3": "translate does not know '--beem'; see attentio translate --help; "
    "did you mean '--beam'?",
    "workshop a\udcff": "the text: half of a surrogate pair at position 2, no character; remove it",
    "workshop a --keys \udcff": "--keys: half of a surrogate pair at position 1, no character; remove it",
    "workshop a b": "'b' is one argument too many; put a text with spaces in quotes",
    "compare g2p --serch training.seed=1..3": "compare does not know '--serch'; see attentio compare --help; "
    "did you mean '--search'?",
    "train luong --training.clip -1": "luong.yaml or the command line: training.clip must be from 1e-12 to "
    "1,000,000; got -1.0",
    "generate causal-lm x --temperature nan": "argument --temperature: must be a number from 0 to 1000, got 'nan'; "
    "see attentio generate --help",
    "translate g2p": "g2p: a preset, and no run; `attentio train g2p` makes one, runs/g2p",
    "translate runs/cmudct": "runs/cmudct: no such run; `attentio train` makes one, and `attentio models` lists those "
    "that come along; did you mean 'cmudict'?",
    "train multi30k-de-en": "train.lc.norm.tok.de.gz,train.lc.norm.tok.en.gz: the data that multi30k-de-en names are "
    "not here; give yours with --data.train FILE, or --data.train SOURCE_FILE,TARGET_FILE",
    "look cmudict": "give a text to look at, or --over-time for how the attention formed in training",
    "train g2p --model.hidden abc": "g2p.yaml or the command line: model.hidden must be a whole number, "
    "from 1 to 65,536; got 'abc'",
    "train g2p --evaluation.metrics we": "g2p.yaml or the command line: evaluation.metrics must be a list, such as "
    "[wer], of wer, per, exact, bleu, chrf, ter; got 'we'; did you mean 'wer'?",
}


@pytest.mark.parametrize("words", MISTYPED)
def test_what_is_mistyped_is_told_in_one_line_with_what_to_do(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"attentio: {MISTYPED[words]}\n"
