"""attentio look RUN "text": the attention behind an output, in the terminal and as a picture."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from jsonargparse.typing import PositiveInt

HELP = "show which source tokens each output token came from"
TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument("text", help="a source text")
    parser.add_argument("--out", metavar="FILE", type=Path, help=".png or .svg (default: RUN/pictures/TEXT.png)")
    parser.add_argument("--beam", type=PositiveInt, help="hypotheses a sentence; 1 is greedy (default: as configured)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    from attentio.commands.run import Run
    from attentio.data.lines import check_text
    from attentio.errors import AttentioError
    from attentio.inspection.heat_map import save_heat_map
    from attentio.inspection.terminal import print_alignment

    check_text(arguments.text, "the text")
    output = Run.load(arguments.run).translate([arguments.text], beam=arguments.beam)[0]
    console = Console(emoji=False, highlight=False)
    console.print(f"{arguments.text} → {output.text}   (score {output.score:.3f})", markup=False)
    if output.attention is None:
        raise AttentioError(f"{arguments.run} was trained without attention, so there is none to look at")
    tokens = {"source_tokens": output.source_tokens, "target_tokens": output.tokens}
    print_alignment(output.attention, **tokens, console=console)
    name = re.sub(r"[^\w-]+", "-", arguments.text)[:60]
    default = arguments.run / "pictures" / f"{name}.png"
    path = save_heat_map(
        arguments.out or default, output.attention, **tokens, title=f"{arguments.text} → {output.text}"
    )
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
