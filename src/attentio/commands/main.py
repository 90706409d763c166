"""The command line: `attentio VERB ...`. Errors that the user can mend are one line and exit code 2.

So are its own mistakes, with the place in the code and exit code 1; `--traceback` shows them whole.
"""

import argparse
import errno
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from traceback import extract_tb
from typing import Any, BinaryIO, NoReturn, TextIO, cast

from attentio import system
from attentio.commands.words import said, speak
from attentio.errors import AttentioError, GivenFunctionError, did_you_mean, harmless
from attentio.version import __version__

VERBS = {
    "demo": "train on English pronunciation, evaluate, translate, look: each step is a command, shown and run",
    "train": "train a model; the same command again resumes where it stopped",
    "translate": "translate lines from standard input to standard output, one by one, in order",
    "score": "tell how probable a model finds given outputs, line by line",
    "fill": "fill the holes, written [MASK], of a text",
    "generate": "continue a text",
    "label": "label lines from standard input, their words or each as a whole",
    "mask": "show the holes that training draws in a text for a masked language model to fill",
    "evaluate": "measure a model's quality on held-out data: translations by free decoding, "
    "language models by how well they predict text",
    "compare": "train several variants with the same budget and put them in one table",
    "look": "show which tokens each token looked at",
    "workshop": "write a page on which masks are built, and what each does is seen at once",
    "align": "align pairs from standard input, source and target separated by a tab, in Pharaoh format",
    "doctor": "find silent attention mistakes in your own model",
    "grade": "compare code with the equation of a paper, and name the line that is different",
    "serve": "answer requests over HTTP: JSON, and with --page a live page that shows what the model looks at",
    "export": "write a trained model as one small file, or a Transformer in another library's format",
    "models": "list the trained models that come along, or show what is known of one",
}
"""Each verb's line of help. A verb is a module of this folder, imported when it is asked for: --help is quick."""

_TOO_LITTLE_MEMORY = ("not enough memory", "t allocate memory", "out of memory")
"""Of torch's messages, which come as RuntimeError from a CPU."""

WRITE_INTO_A_RUN = ("evaluate", "export", "look")
"""Verbs that write into the run, unless --out says where."""

USE_A_RUN = ("translate", "score", "fill", "generate", "label", "evaluate", "look", "align", "serve")

_DEVICES = "cpu, cuda, cuda:1, mps, ..; auto (default): a CUDA device where there is one, else the CPU"

LONGEST_MESSAGE = 300
"""Characters that are shown of an error that nobody foresaw."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns the exit code: 0, 1 for a mistake of the program, 2 for a user's mistake, 128 + n when stopped by signal n.
    """
    if argv is None:
        system.begin_in_utf8()
    system.settle()
    system.write_in_utf8()
    speak()
    if logging.lastResort is not None:  # which prints what rooms below log
        logging.lastResort.setFormatter(_InWords())
    _notice_closed_streams()
    argv = sys.argv[1:] if argv is None else argv
    try:
        code = _run_verb(argv)
        sys.stdout.flush()
        return code
    except AttentioError as error:
        return _tell(str(error), 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _output_unwanted()
    except OSError as error:  # a full disk, a folder without permission
        told = f"{error.filename or 'writing'}: {error.strerror}; nothing more was written"
        return _tell(told + _remedy(error, argv), 2)
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):  # rich's console leaves so
            return _output_unwanted()
        if place := _place_in_own_code(left, argv):
            return _tell(f"{place}: {_in_one_line(left)}", 2)
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        if "--traceback" in argv:
            raise
        if isinstance(error, MemoryError) or any(words in str(error) for words in _TOO_LITTLE_MEMORY):
            return _tell(f"not enough memory ({_in_one_line(error)}); give it less at a time", 2)
        place = _place_in_own_code(error, argv)
        if place is None and isinstance(error, GivenFunctionError):  # which was not asked any more when it was noticed
            place = ", ".join(_allowed(argv)) or None
        if place:
            return _tell(f"{place}: {_in_one_line(error)}; --traceback shows all of it", 2)
        return _tell(f"{_place(error)}: {_in_one_line(error)}; --traceback shows all of it", 1)


def _remedy(error: OSError, argv: Sequence[str]) -> str:
    if error.errno == errno.ENOSPC:
        return "; make room, and give the same command again"
    if error.errno in (errno.EACCES, errno.EROFS) and "--out" not in argv and set(WRITE_INTO_A_RUN) & set(argv):
        return "; --out says where else to write"
    return ""


def _tell(error: str, code: int) -> int:
    """One line on standard error, in the person's language."""
    print(f"attentio: {harmless(said(error))}", file=sys.stderr)
    return code


class _InWords(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """In the person's language."""
        return said(super().format(record))


class _Parser(argparse.ArgumentParser):
    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """With its help in the person's language."""
        action = super().add_argument(*names, **options)
        action.help = action.help and said(action.help)
        return action

    def error(self, message: str) -> NoReturn:
        """One line, as of every other mistake."""
        raise AttentioError(f"{message}; see {self.prog} --help")


def _run_verb(argv: Sequence[str]) -> int:
    parser = _Parser(
        prog="attentio",
        description=said("Attention from A to Z: train it, use it, look inside."),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"attentio {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    asked = next((word for word in argv if not word.startswith("-")), None)
    if asked is not None and asked not in VERBS:
        raise AttentioError(f"there is no command {asked!r}; see attentio --help{did_you_mean(asked, VERBS)}")
    for name, line in VERBS.items():
        subparser = subparsers.add_parser(
            name,
            help=said(line),
            description=said(line),
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == asked:
            verb = import_module(f"attentio.commands.{name}")
            verb.add_arguments(subparser)
            subparser.epilog = subparser.epilog and said(subparser.epilog)
            if name not in ("doctor", "export"):  # one has its own, the other runs no model
                subparser.add_argument("--device", default="auto", help=_DEVICES)
            if name in USE_A_RUN:
                subparser.add_argument(
                    "--checkpoint",
                    default="best",
                    metavar="WHICH",
                    help="of a run directory: best (default), last, or average:N, the mean of the last N",
                )
            if name in (*USE_A_RUN, "train", "compare", "doctor", "export"):
                subparser.add_argument(
                    "--allow-code",
                    action="append",
                    default=[],
                    metavar="FILE.py",
                    help="let this file run, where model.attention, .score or .normalize names it; may be given again",
                )
            subparser.add_argument("--traceback", action="store_true", help="show all of an error of attentio itself")
    arguments, rest = parser.parse_known_args(argv)  # leaves if no verb is asked
    options = subparsers.choices[arguments.verb]._option_string_actions
    # argparse takes an argument that may be left out for left out where an option stands before it.
    for action in subparsers.choices[arguments.verb]._get_positional_actions():
        if action.nargs == "?" and getattr(arguments, action.dest) is None and rest and not rest[0].startswith("-"):
            setattr(arguments, action.dest, rest.pop(0))
    for word in rest:
        near = did_you_mean(word, options)
        mistyped = near and near == did_you_mean(word, [*options, *_keys()]) and "." not in word
        if not verb.TAKES_OVERRIDES or (word.startswith("--") and mistyped):  # the rest are values, such as -1
            if not word.startswith("-"):
                raise AttentioError(f"{word!r} is one argument too many; put a text with spaces in quotes")
            raise AttentioError(f"{arguments.verb} does not know {word!r}; see attentio {arguments.verb} --help{near}")
    return int(verb.run(arguments, rest))


def _keys() -> list[str]:
    """The configuration's keys outside of any section, as options."""
    from attentio.config.schema import Config

    return [f"--{field.name}" for field in fields(Config)]


class _Closed(io.TextIOBase):
    """Stands for a standard stream that is closed: whoever needs it learns that, whoever does not never asks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, text: str) -> int:
        """Raises AttentioError."""
        raise self._needed()

    @property
    def buffer(self) -> BinaryIO:
        """Raises AttentioError."""
        raise self._needed()

    def _needed(self) -> AttentioError:
        return AttentioError(f"{self.name} is closed, and this needs it; leave it open, or give it a file")


class _Aside:
    """Standard error: what is said there is said aside, and whoever stops listening stops nothing else."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """As a stream's, but nowhere once nobody reads."""
        self._unless_unheard(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As a stream's."""
        self._unless_unheard(self.stream.flush)

    def _unless_unheard(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BrokenPipeError:
            system.silence(self.stream.fileno())

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.stream, attribute)


def _notice_closed_streams() -> None:
    """Python says None for a stream that is closed, and print() then writes nothing without a word."""
    system.keep_standard_numbers()
    sys.stdin = sys.stdin or cast(TextIO, _Closed("standard input"))
    sys.stdout = sys.stdout or cast(TextIO, _Closed("standard output"))
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, else print() takes standard output
    if not isinstance(sys.stderr, _Aside):
        sys.stderr = cast(TextIO, _Aside(sys.stderr))


def _output_unwanted() -> int:
    """Whoever read the output has had enough."""
    system.silence(sys.stdout.fileno())
    return 141


def _place(error: BaseException) -> str:
    """FILE:LINE of the innermost frame of ours."""
    package = Path(__file__).parents[1]
    frames = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(package)]
    return f"{Path(frames[-1].filename).relative_to(package.parent).as_posix()}:{frames[-1].lineno}"


def _place_in_own_code(error: BaseException, argv: Sequence[str]) -> str | None:
    """FILE:LINE of the innermost frame of a file that --allow-code lets run; None where the error is of none."""
    allowed = {Path(file).resolve() for file in _allowed(argv)}
    for frame in reversed(extract_tb(error.__traceback__)):
        if Path(frame.filename).resolve() in allowed:
            return f"{frame.filename}:{frame.lineno}"
    return None


def _allowed(argv: Sequence[str]) -> list[str]:
    """The files that --allow-code lets run."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--allow-code=") else [word])]
    return [file for word, file in pairwise(words) if word == "--allow-code"]


def _in_one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {harmless(said[:LONGEST_MESSAGE])}"


if __name__ == "__main__":
    sys.exit(main())
