"""attentio fill RUN "Paris is the [MASK] of France": what a masked language model puts where [MASK] stands."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attentio.commands.numbers import Count
from attentio.commands.words import said

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from attentio.runs.outputs import Candidate

TAKES_OVERRIDES = False

BAR = 20  # terminal cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A hole is one token of the model's tokenizer: a word, a piece of one, a letter, or a jamo of a syllable.\n"
        "Several holes are filled from one reading of the text, each independently."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run, of a masked language model")
    parser.add_argument("text", nargs="?", help="a text with [MASK] in it (default: the lines of standard input)")
    parser.add_argument("--top", type=Count, default=5, metavar="N", help="candidates per hole (default: 5)")
    parser.add_argument("--json", action="store_true", help="write one JSON object per line")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    from attentio.errors import AttentioError
    from attentio.runs.filler import MaskedRun
    from attentio.runs.load import load_as

    trained = load_as(
        MaskedRun,
        arguments.run,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        allow_code=arguments.allow_code,
    )
    console = Console(emoji=False, highlight=False)
    blank = 0
    for where, text in _texts(arguments.text):
        blank += text is None
        try:
            holes = [] if text is None else trained.fill(text, top=arguments.top)
        except AttentioError as error:
            raise AttentioError(f"{where}{error}") from None
        if arguments.json:
            found = [[vars(candidate) for candidate in candidates] for candidates in holes]
            print(json.dumps({"text": text or "", "holes": found}, ensure_ascii=False), flush=True)
        elif text is not None:
            _show(console, text, holes)
    if blank:
        print(said(f"blank lines, which have no holes: {blank:,}"), file=sys.stderr)
    return 0


def _texts(given: str | None) -> Iterator[tuple[str, str | None]]:
    """Each text, None for a blank line; and what an error about it begins with."""
    from attentio.data.lines import bounded_lines, decode_line
    from attentio.text.normal import trimmed

    if given is not None:
        yield "", given
        return
    for number, line in enumerate(bounded_lines(sys.stdin.buffer), start=1):
        text = decode_line(line, f"<stdin>:{number}")
        yield f"<stdin>:{number}: ", text if trimmed(text) else None


def _show(console: "Console", text: str, holes: "list[list[Candidate]]") -> None:
    for number, candidates in enumerate(holes, start=1):
        title = text if len(holes) == 1 else f"{text}   {said(f'(hole {number} of {len(holes)})')}"
        console.print(title, markup=False, style="bold")
        console.print(_table(candidates))


def _table(candidates: "Sequence[Candidate]") -> "Table":
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    from attentio.pictures.labels import label

    table = Table(box=None, show_header=False, pad_edge=False)
    for candidate in candidates:
        table.add_row(
            Text(label(candidate.token), style="cyan"),
            f"{candidate.probability:6.1%}",
            Bar(1.0, 0.0, candidate.probability, width=BAR),
            Text(candidate.text),
        )
    return table
