"""attentio translate RUN < in > out: one line in, one line out, in order."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse.typing import NonNegativeFloat, PositiveInt

HELP = "translate lines from standard input to standard output, one by one, in order"
TAKES_OVERRIDES = False

LINES_AT_A_TIME = 2048
"""Enough to put lines of like length together; few enough to see output while more is coming."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory, made by attentio train")
    parser.add_argument("--beam", type=PositiveInt, help="hypotheses a sentence; 1 is greedy (default: as configured)")
    parser.add_argument(
        "--length-penalty", type=NonNegativeFloat, help="alpha of the length penalty (default: as configured)"
    )
    parser.add_argument(
        "--n-best",
        type=PositiveInt,
        metavar="N",
        help="write N outputs a line: line number, score and text, separated by tabs",
    )
    parser.add_argument("--bad-lines", choices=("stop", "skip"), default="stop", help="skip: leave their output empty")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from attentio.commands.run import Run
    from attentio.data.lines import read_sources
    from attentio.errors import AttentioError

    trained = Run.load(arguments.run)
    n_best, beam = arguments.n_best or 1, arguments.beam or trained.config.decoding.beam
    if not 1 <= n_best <= beam:
        raise AttentioError(f"--n-best {n_best} needs a --beam of at least as many; the beam is {beam}")
    lines = read_sources(sys.stdin.buffer, "<stdin>", bad_lines=arguments.bad_lines)
    at_a_time = 1 if sys.stdin.isatty() else LINES_AT_A_TIME
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=sys.stdin.isatty() or not console.is_terminal) as bar:
        task = bar.add_task("translating", total=None)
        while chunk := list(itertools.islice(lines, at_a_time)):
            texts = [text for _, text in chunk if text]
            found = iter(
                trained.candidates(
                    texts,
                    n_best=n_best,
                    beam=beam,
                    length_penalty=arguments.length_penalty,
                    attention=False,
                    progress=lambda done: bar.advance(task, done),
                )
            )
            for number, text in chunk:
                candidates = next(found) if text else []
                # A model trained on JSON can say a line feed; one line in stays one line out.
                outputs = [one.text.replace("\n", " ") for one in candidates]
                if arguments.n_best:
                    for one, output in zip(candidates, outputs, strict=True):
                        print(f"{number}\t{one.score:.4f}\t{output}")
                else:
                    print(outputs[0] if outputs else "")
            sys.stdout.flush()
    return 0
