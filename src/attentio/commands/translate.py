"""attentio translate RUN < in > out: one line in, one line out, in order."""

import argparse
import itertools
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.commands.engine import OWN, add_engine, with_engine
from attentio.commands.numbers import Beam, Count, LengthPenalty, MaxLengthRatio, Seed, Share, Temperature
from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.decoding.sampling import Sampling

TAKES_OVERRIDES = False

LINES_AT_A_TIME = 2048
"""Enough to put lines of like length together; few enough to see output while more is coming."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory, a bundle, or a model that comes along; several with commas between answer together",
    )
    parser.add_argument("--beam", type=Beam, help="hypotheses per text; 1 is greedy (default: as configured)")
    parser.add_argument(
        "--length-penalty", type=LengthPenalty, help="alpha of the length penalty (default: as configured)"
    )
    parser.add_argument(
        "--n-best",
        type=Beam,
        metavar="N",
        help="write N outputs per line: line number, score and text, separated by tabs",
    )
    parser.add_argument(
        "--max-length-ratio",
        type=MaxLengthRatio,
        metavar="R",
        help="most tokens of an output for each of its source, besides ten more (default: as configured)",
    )
    parser.add_argument("--sample", action="store_true", help="draw the outputs instead of searching for the best")
    parser.add_argument("--temperature", type=Temperature, metavar="T", help="of --sample; 0 is greedy (default: 1)")
    parser.add_argument("--top-k", type=Count, metavar="K", help="draw from the K most probable tokens")
    parser.add_argument(
        "--top-p", type=Share, metavar="P", help="draw from the fewest tokens that make up P of the probability"
    )
    parser.add_argument("--seed", type=Seed, metavar="N", help="of the random numbers (default: a fresh one)")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each line, with every token's probability"
    )
    add_engine(parser)
    parser.add_argument("--bad-lines", choices=("stop", "skip"), default="stop", help="skip: leave their output empty")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from attentio.commands.translating import written
    from attentio.commands.unknown import UnknownTexts
    from attentio.data.lines import read_sources
    from attentio.errors import AttentioError
    from attentio.runs.load import load_as
    from attentio.runs.translator import Run

    sampling = _sampling(arguments)
    trained = load_as(Run, arguments.run, checkpoint=arguments.checkpoint, device=arguments.device)
    trained = with_engine(trained, arguments.engine)
    n_best, beam = arguments.n_best or 1, arguments.beam or trained.config.decoding.beam
    if not arguments.sample and n_best > beam:
        raise AttentioError(f"--n-best {n_best} needs a --beam of at least as many; the beam is {beam}")
    lines = read_sources(sys.stdin.buffer, "<stdin>", bad_lines=arguments.bad_lines)
    at_a_time = 1 if sys.stdin.isatty() else LINES_AT_A_TIME
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    console, unknown = Console(stderr=True), UnknownTexts()
    cut = outputs = few = blank = 0
    # On a terminal the translations themselves show how far it is; elsewhere standard output is theirs alone.
    shown = console.is_terminal and not (sys.stdin.isatty() or sys.stdout.isatty())
    with Progress(console=console, transient=True, redirect_stdout=False, disable=not shown) as bar:
        task = bar.add_task(said("translating"), total=None)
        while chunk := list(itertools.islice(lines, at_a_time)):
            texts = [text for _, text in chunk if text]
            options: dict[str, Any] = {
                "max_length_ratio": arguments.max_length_ratio,
                "attention": False,
                "progress": lambda done: bar.advance(task, done),
            }
            if sampling:
                numbers = [number for number, text in chunk if text]
                drawn: dict[str, Any] = {"samples": n_best, "seed": seed, "numbers": numbers}
                found = iter(trained.sample(texts, sampling, **drawn, **options))
            else:
                searched: dict[str, Any] = {"n_best": n_best, "beam": beam, "length_penalty": arguments.length_penalty}
                found = iter(trained.candidates(texts, **searched, **options))
            for number, text in chunk:
                candidates = next(found) if text else []
                blank += not text
                if candidates:
                    unknown.note(candidates[0].unknown, f"line {number}")
                cut += sum(not one.finished for one in candidates)
                outputs += len(candidates)
                few += 0 < len(candidates) < n_best
                for line in written(number, text, candidates, listed=bool(arguments.n_best), as_json=arguments.json):
                    print(line)
            sys.stdout.flush()
    unknown.end()
    if blank:
        print(said(f"lines that are blank or were skipped, and so are their outputs: {blank:,}"), file=sys.stderr)
    if sampling and arguments.seed is None:
        print(said(f"seed {seed}; --seed {seed} draws the same again"), file=sys.stderr)
    if cut:
        told = (
            f"{cut:,} of {outputs:,} outputs are cut off. An output may have "
            f"{trained.length_limit(arguments.max_length_ratio)}; --max-length-ratio lets it have more, "
            f"at training --decoding.max_length_ratio"
        )
        print(said(told), file=sys.stderr)
    if few:
        told = f"{few:,} lines have fewer than {n_best} outputs that differ; a larger --beam may find more"
        print(said(told), file=sys.stderr)
    return 0


def _sampling(arguments: argparse.Namespace) -> "Sampling | None":
    """How to draw, None for a search; AttentioError for an option that does nothing for it."""
    from attentio.decoding.sampling import Sampling
    from attentio.errors import AttentioError

    for name in ("beam", "length_penalty") if arguments.sample else ("temperature", "top_k", "top_p", "seed"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            if arguments.sample:
                raise AttentioError(f"{option} is of a search, and --sample draws; leave one of them out")
            raise AttentioError(f"{option} is for drawing; give --sample too")
    if not arguments.sample:
        return None
    if arguments.engine != OWN:
        raise AttentioError("--engine is of a search, and --sample draws; leave one of them out")
    temperature = 1.0 if arguments.temperature is None else float(arguments.temperature)
    try:
        return Sampling(temperature=temperature, top_k=arguments.top_k, top_p=arguments.top_p)
    except ValueError as error:
        raise AttentioError(str(error)) from None
