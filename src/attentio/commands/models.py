"""attentio models [RUN]: the models that come along, or the card of one bundle."""

import argparse
from collections.abc import Iterable, Sequence
from shlex import quote
from typing import Any

from attentio.commands.words import said

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A model's name is a RUN for every verb that takes one, such as: attentio look cmudict attentio"
    parser.add_argument("run", metavar="RUN", nargs="?", help="a model that comes along, or a bundle: show its card")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console
    from rich.table import Table

    console, table = Console(emoji=False, highlight=False, markup=False), Table(box=None, pad_edge=False)
    if arguments.run is None:
        _list(table)
    else:
        table.show_header = False
        for key, value in _card(arguments.run):
            table.add_row(key, value)
    console.print(table)
    return 0


def _list(table: Any) -> None:
    from attentio.runs.card import read_card
    from attentio.runs.places import along

    for heading in ("name", "task", "attention", "quality", "kB"):
        justify, whole = "right" if heading == "kB" else "left", heading == "name"
        table.add_column(said(heading), justify=justify, no_wrap=whole, overflow="fold")
    for name, path in along().items():
        card = read_card(path)
        quality = ", ".join(f"{metric} {value:.2f}" for metric, value in card["quality"]["scores"].items())
        table.add_row(name, card["task"], card["attention"], quality, f"{path.stat().st_size / 1000:,.0f}")


def _card(run: str) -> Iterable[tuple[str, str]]:
    from attentio.errors import AttentioError, harmless
    from attentio.runs.card import read_card
    from attentio.runs.places import resolve

    path = resolve(run)
    if path.is_dir():
        making = f"attentio export {quote(str(path))} --to bundle"
        raise AttentioError(f"{path} is a run directory; cards are in bundles: {making}")
    yield from ((harmless(key), harmless(value)) for key, value in _lines(read_card(path)))
    yield "size", f"{path.stat().st_size:,} bytes"
    yield "file", str(path)


def _lines(card: dict[str, Any], prefix: str = "", deeper: int = 2) -> Iterable[tuple[str, str]]:
    for key, value in card.items():
        if isinstance(value, dict) and deeper:
            yield from _lines(value, f"{prefix}{key} ", deeper - 1)
        elif value is not None:
            yield f"{prefix}{key}", f"{value:,}" if key == "parameters" and isinstance(value, int) else str(value)
