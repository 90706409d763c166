"""attentio grade FILE.py:NAME PAPER: whether code computes what a paper says; of a folder of submissions, a table."""

import argparse
import contextlib
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attentio import system
from attentio.commands.numbers import Seconds, Seed
from attentio.commands.words import said
from attentio.errors import AttentioError
from attentio.runs.user_code import callable_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TAKES_OVERRIDES = False

_ADVICE = "name the function or class that is to be graded"


class Outcome(NamedTuple):
    """What became of one submission, in a form that goes from one process to another.

    right: None where it could not be graded.
    """

    right: bool | None
    deviations: tuple[str, ...]
    short: str
    text: str
    json: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "TARGET is path/to/file.py:NAME or MODULE:NAME, of a function, a module or its class; or a FOLDER of\n"
        "submissions, each with the same --name, which gives a table. Each runs in a process of its own.\n"
        "PAPER: bahdanau, bahdanau-steps, luong-dot, luong-general, luong-concat, location, local-m, local-p,\n"
        "scaled-dot-product, multi-head, sparsemax, entmax, causal-mask, positional-encoding, mlm-masking.\n"
        "Exit code: 0 right (all of them), 1 different, 2 could not be graded."
    )
    parser.add_argument("target", metavar="FILE.py:NAME", help="the code, or a folder of submissions")
    parser.add_argument("paper", metavar="PAPER", help="what it should compute")
    parser.add_argument("--name", help="of a folder: the function or class to grade in each file")
    parser.add_argument("--mask-means", choices=["keep", "drop"], help="what True means in the code's mask")
    parser.add_argument("--language", choices=["en", "ko"], help="of the sentences; otherwise the system's")
    parser.add_argument("--seed", type=Seed, help="of the random inputs; otherwise drawn and shown")
    parser.add_argument("--timeout", type=Seconds, default=120.0, metavar="SECONDS", help="for each submission")
    parser.add_argument("--json", action="store_true", help="of one submission: print JSON, and nothing else")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="of a folder: write the table to a file as well")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.errors import did_you_mean
    from attentio.grading.papers.catalogue import PAPERS

    if arguments.paper not in PAPERS:
        hint = did_you_mean(arguments.paper, PAPERS) or f"; there are {', '.join(PAPERS)}"
        raise AttentioError(f"no paper {arguments.paper!r}{hint}")
    if arguments.language is None:
        arguments.language = system.language()
    if Path(arguments.target).is_dir():
        return _folder(arguments)
    if arguments.csv is not None or arguments.name is not None:
        raise AttentioError(f"{arguments.target}: --name and --csv are for a folder; write FILE.py:NAME")
    outcome = _graded(arguments.target, arguments)
    if outcome.right is None:
        raise AttentioError(outcome.text)
    print(outcome.json if arguments.json else outcome.text)
    return 0 if outcome.right else 1


def _folder(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.target)
    if arguments.name is None:
        raise AttentioError(f"{folder} is a folder; say with --name which function or class of each file to grade")
    files = sorted(
        path for path in folder.rglob("*.py") if not any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    if not files:
        raise AttentioError(f"{folder} holds no files *.py")
    rows = []
    for path in files:
        outcome = _graded(f"{path}:{arguments.name}", arguments)
        rows.append((system.forward_slashes(str(path.relative_to(folder))), outcome))
        print(said(f"{len(rows)} of {len(files)}: {rows[-1][0]}"), file=sys.stderr)
    if arguments.csv is not None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "right", "deviations", "said"])
        for name, one in rows:
            right = "" if one.right is None else "yes" if one.right else "no"
            writer.writerow([name, right, "; ".join(one.deviations), one.short])
        system.replace_text(
            arguments.csv, "\N{ZERO WIDTH NO-BREAK SPACE}" + text.getvalue()
        )  # spreadsheets need the mark for Hangul
    _show(rows)
    return 0 if all(one.right for _, one in rows) else 1


def _show(rows: Sequence[tuple[str, Outcome]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(emoji=False, highlight=False, markup=False)
    table = Table()
    for heading in ("file", "", "said"):
        table.add_column(said(heading), no_wrap=heading == "")
    for name, one in rows:
        word = (
            Text("?", "yellow")
            if one.right is None
            else Text(said("right"), "green")
            if one.right
            else Text(said("differs"), "bold red")
        )
        table.add_row(Text(name), word, Text(said(one.short)))
    console.print(table)
    console.print(said(f"{sum(one.right is True for _, one in rows)} of {len(rows)} are right"))


def _graded(target: str, arguments: argparse.Namespace) -> Outcome:
    """Grade in another process, which may hang or die."""
    context = system.process_context()
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload(["attentio.grading.grader"])
    ours, theirs = context.Pipe(duplex=False)
    options = {"mask_means": arguments.mask_means, "language": arguments.language, "seed": arguments.seed}
    process = context.Process(target=_grade_into, args=(theirs, target, arguments.paper, options), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    try:
        if not ours.poll(arguments.timeout):
            return _ungraded(f"{target} did not end within {arguments.timeout:g} seconds; --timeout gives it more")
        outcome: Outcome = ours.recv()
        return outcome
    except EOFError:
        process.join(5)
        return _ungraded(f"{target} ended its process with code {process.exitcode}; take exit() and the like out of it")
    finally:
        process.kill()
        process.join()
        ours.close()


def _grade_into(answer: "Connection", target: str, paper: str, options: dict[str, Any]) -> None:
    """What the submission prints goes nowhere."""
    from attentio.grading.grader import grade

    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        try:
            found = grade(callable_of(target, _ADVICE), paper, **options)
            outcome = Outcome(found.right, found.deviations, " ".join(found.sentences), str(found), found.json())
        except AttentioError as error:
            outcome = _ungraded(str(error))
        except Exception as error:  # whatever the submission makes of being looked at
            outcome = _ungraded(f"{target}: {type(error).__name__}: {error}")
    answer.send(outcome)


def _ungraded(said: str) -> Outcome:
    return Outcome(None, (), said, said, "")
