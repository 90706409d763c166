"""attentio fill RUN "Paris is the [MASK] of France": what a masked language model puts where [MASK] stands."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse.typing import PositiveInt

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from attentio.commands.masked_run import Candidate

HELP = "fill the holes, written [MASK], of a text"
TAKES_OVERRIDES = False

BAR = 20  # terminal cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A hole is one token, as the model was trained: a word, a piece of one, a letter, or a jamo of a syllable.\n"
        "Several holes are filled from one reading of the text, each by itself."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory of a masked language model")
    parser.add_argument("text", nargs="?", help="a text with [MASK] in it (default: the lines of standard input)")
    parser.add_argument("--top", type=PositiveInt, default=5, metavar="N", help="candidates a hole (default: 5)")
    parser.add_argument("--json", action="store_true", help="write one JSON object a line")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    from attentio.commands.masked_run import MaskedRun
    from attentio.errors import AttentioError

    trained = MaskedRun.load(arguments.run)
    console = Console(emoji=False, highlight=False)
    for where, text in _texts(arguments.text):
        try:
            holes = trained.fill(text, top=arguments.top)
        except AttentioError as error:
            raise AttentioError(f"{where}{error}") from None
        if arguments.json:
            found = [[vars(candidate) for candidate in candidates] for candidates in holes]
            print(json.dumps({"text": text, "holes": found}, ensure_ascii=False), flush=True)
        else:
            _show(console, text, holes)
    return 0


def _texts(given: str | None) -> Iterator[tuple[str, str]]:
    """Each text, and what an error about it begins with. Empty lines are passed over."""
    from attentio.data.lines import decode_line

    if given is not None:
        yield "", given
        return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        text = decode_line(line.rstrip(b"\r\n"), f"<stdin>:{number}")
        if text.strip():
            yield f"<stdin>:{number}: ", text


def _show(console: "Console", text: str, holes: "list[list[Candidate]]") -> None:
    for number, candidates in enumerate(holes, start=1):
        title = text if len(holes) == 1 else f"{text}   (hole {number} of {len(holes)})"
        console.print(title, markup=False, style="bold")
        console.print(_table(candidates))


def _table(candidates: "Sequence[Candidate]") -> "Table":
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    from attentio.inspection.labels import label

    table = Table(box=None, show_header=False, pad_edge=False)
    for candidate in candidates:
        table.add_row(
            Text(label(candidate.token), style="cyan"),
            f"{candidate.probability:6.1%}",
            Bar(1.0, 0.0, candidate.probability, width=BAR),
            Text(candidate.text),
        )
    return table
