"""attentio workshop [TEXT]: a page on which masks are built, and what each does is seen at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from attentio.commands.words import said

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "The page is one HTML file for any browser. The sentence and the masks are changed on it."
    parser.add_argument("text", nargs="?", default="", help="words with white space between them (default: an example)")
    parser.add_argument("--keys", default="", metavar="TEXT", help="another sentence, for attention to it")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("workshop.html"), help="of the page (default: workshop.html)"
    )


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    from attentio.data.lines import check_text
    from attentio.errors import AttentioError
    from attentio.page.workshop import SENTENCE, workshop

    if arguments.out.suffix.lower() not in (".html", ".htm"):
        raise AttentioError(f"{arguments.out}: a page is written as .html")
    for name, text in (("the text", arguments.text), ("--keys", arguments.keys)):
        if text:
            check_text(text, name)
    path = workshop(arguments.text or SENTENCE, arguments.keys).save(arguments.out)
    Console(emoji=False, highlight=False).print(said(f"wrote {path}"), markup=False, soft_wrap=True)
    return 0
