"""attentio look RUN "text": the attention behind an output, in the terminal and as a picture, or as a page."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jsonargparse.typing import PositiveInt

from attentio.errors import AttentioError

if TYPE_CHECKING:
    from torch import Tensor

    from attentio.commands.causal_run import CausalRun
    from attentio.commands.masked_run import MaskedRun
    from attentio.commands.run import Run

HELP = "show which tokens each token looked at"
TAKES_OVERRIDES = False
PAGES = (".html", ".htm")


class View(NamedTuple):
    """A matrix to look at: a row for each of `target_tokens`, a column for each of `source_tokens`.

    note: what the terminal says besides the title of the picture.
    """

    title: str
    note: str
    weights: "Tensor"
    source_tokens: list[str]
    target_tokens: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Of a model that translates, the rows are the output's tokens and the columns the source's; of a Transformer\n"
        "the last layer is shown, averaged over its heads. In a language model the tokens of a text look at one\n"
        "another.\n"
        "A page, one HTML file for any browser, has every layer and head, the alternatives, and what was computed."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument("text", help="a source text; for a language model, any text")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=".html for a page; .png or .svg for a picture (default: RUN/pictures/TEXT.png)",
    )
    parser.add_argument("--beam", type=PositiveInt, help="hypotheses a sentence; 1 is greedy (default: as configured)")
    parser.add_argument("--layer", type=PositiveInt, help="of a language model, from 1 (default: the last)")
    parser.add_argument("--head", type=PositiveInt, help="of a language model, from 1 (default: the mean of all)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    from attentio.commands.run import Run, load
    from attentio.data.lines import check_text
    from attentio.inspection.figure import SUFFIXES
    from attentio.inspection.heat_map import save_heat_map
    from attentio.inspection.terminal import print_alignment

    check_text(arguments.text, "the text")
    suffix = arguments.out.suffix.lower() if arguments.out else ".png"
    if suffix not in (*PAGES, *SUFFIXES):
        raise AttentioError(f"{arguments.out}: a page is written as .html, a picture as .png or .svg")
    trained = load(arguments.run)
    console = Console(emoji=False, highlight=False)
    if suffix in PAGES:
        console.print(f"wrote {_write_page(trained, arguments)}", markup=False, soft_wrap=True)
        return 0
    view = _cross(trained, arguments) if isinstance(trained, Run) else _own(trained, arguments)
    console.print(f"{view.title}   ({view.note})", markup=False)
    tokens = {"source_tokens": view.source_tokens, "target_tokens": view.target_tokens}
    print_alignment(view.weights, **tokens, console=console)
    name = re.sub(r"[^\w-]+", "-", arguments.text)[:60]
    default = arguments.run / "pictures" / f"{name}.png"
    path = save_heat_map(arguments.out or default, view.weights, **tokens, title=view.title)
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
    if not arguments.out:
        console.print("every layer and head, in a browser: --out page.html", style="dim")
    return 0


def _write_page(trained: "Run | MaskedRun | CausalRun", arguments: argparse.Namespace) -> Path:
    from attentio.commands.run import Run

    if arguments.layer or arguments.head:
        raise AttentioError("a page shows every layer and head; leave --layer and --head out")
    if isinstance(trained, Run):
        return trained.inspect(arguments.text, beam=arguments.beam).page().save(arguments.out)
    _refuse_beam(arguments)
    return trained.inspect(arguments.text).page().save(arguments.out)


def _cross(trained: "Run", arguments: argparse.Namespace) -> View:
    """From the tokens of a translation to those of its source."""
    if arguments.layer or arguments.head:
        raise AttentioError("--layer and --head are for language models; leave them out")
    output = trained.translate([arguments.text], beam=arguments.beam)[0]
    if output.attention is None:
        raise AttentioError(f"{arguments.run} was trained without attention, so there is none to look at")
    title, note = f"{arguments.text} → {output.text}", f"score {output.score:.3f}"
    return View(title, note, output.attention, output.source_tokens, output.tokens)


def _own(trained: "MaskedRun | CausalRun", arguments: argparse.Namespace) -> View:
    """From the tokens of a text to one another."""
    _refuse_beam(arguments)
    tokens, weights = trained.attention(arguments.text)
    layers, heads = weights.shape[:2]
    for name, asked, count in (("layer", arguments.layer, layers), ("head", arguments.head, heads)):
        if asked and asked > count:
            raise AttentioError(f"--{name} {asked}: the model has {count} of them")
    of_layer = weights[(arguments.layer or layers) - 1]
    shown = of_layer[arguments.head - 1] if arguments.head else of_layer.mean(dim=0)
    which = f"head {arguments.head}" if arguments.head else f"mean of {heads} heads"
    return View(arguments.text, f"layer {arguments.layer or layers}, {which}", shown, tokens, tokens)


def _refuse_beam(arguments: argparse.Namespace) -> None:
    if arguments.beam:
        raise AttentioError("--beam is for models that translate; leave it out")
