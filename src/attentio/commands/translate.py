"""attentio translate RUN < in > out: one line in, one line out, in order."""

import argparse
import secrets
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.commands.arriving import Arriving, as_they_arrive
from attentio.commands.engine import OWN, add_engine, with_engine
from attentio.commands.numbers import Beam, Count, LengthPenalty, MaxLengthRatio, Processes, Seed, Share, Temperature
from attentio.commands.words import said
from attentio.errors import AttentioError

if TYPE_CHECKING:
    from attentio.commands.translating import Doubt
    from attentio.config.schema import BadLines
    from attentio.decoding.sampling import Sampling
    from attentio.runs.constraints import Constraints
    from attentio.runs.translator import Run

TAKES_OVERRIDES = False


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
    parser.add_argument("--prefix", metavar="TEXT", default="", help="what every output begins with")
    parser.add_argument(
        "--require",
        metavar="WORD",
        action="append",
        default=[],
        help="a word that every output has; give it again for more",
    )
    parser.add_argument(
        "--no-repeat-ngram",
        type=Count,
        metavar="N",
        help="no N tokens in a row are said twice, such as 3",
    )
    parser.add_argument(
        "--doubtful",
        type=Share,
        metavar="P",
        help="mark outputs that are right with a probability below P, as `evaluate --calibrate` has found",
    )
    parser.add_argument("--seed", type=Seed, metavar="N", help="of the random numbers (default: a fresh one)")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each line, with every token's probability"
    )
    add_engine(parser)
    parser.add_argument("--bad-lines", choices=("stop", "skip"), default="stop", help="skip: leave their output empty")
    parser.add_argument(
        "--input",
        type=Path,
        metavar="DIR",
        help="translate each file of a folder; the same command goes on after a stop",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the translated files go, under the same names"
    )
    parser.add_argument(
        "--processes",
        type=Processes,
        metavar="N",
        help="processes that share the work of --input; other machines may join (default: 1)",
    )


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    if arguments.input or arguments.output or arguments.processes:
        from attentio.commands.bulk import translate_folder

        return translate_folder(arguments)
    from rich.console import Console
    from rich.progress import Progress

    from attentio.commands.translating import Tally, written
    from attentio.data.lines import read_sources
    from attentio.runs.load import load_as
    from attentio.runs.translator import Run

    constraints, sampling = _constraints(arguments), _sampling(arguments)
    trained = load_as(
        Run, arguments.run, checkpoint=arguments.checkpoint, device=arguments.device, allow_code=arguments.allow_code
    )
    n_best, beam = arguments.n_best or 1, arguments.beam or trained.config.decoding.beam
    if not arguments.sample and n_best > beam:
        raise AttentioError(f"--n-best {n_best} needs a --beam of at least as many; the beam is {beam}")
    tally = Tally(n_best, _doubt(arguments, trained))
    trained = with_engine(trained, arguments.engine)
    arriving = Arriving(sys.stdin.buffer)
    lines = read_sources(arriving, "<stdin>", bad_lines=arguments.bad_lines, check=trained.check_source)
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    console = Console(stderr=True)
    # On a terminal the translations themselves show how far it is; elsewhere standard output is theirs alone.
    shown = console.is_terminal and not (sys.stdin.isatty() or sys.stdout.isatty())
    with Progress(console=console, transient=True, redirect_stdout=False, disable=not shown) as bar:
        task = bar.add_task(said("translating"), total=None)
        for chunk in as_they_arrive(lines, arriving):
            numbers, texts = [number for number, text in chunk if text], [text for _, text in chunk if text]
            options: dict[str, Any] = {
                "max_length_ratio": arguments.max_length_ratio,
                "attention": arguments.json and trained.config.model.copy,  # which tells what is copied
                "constraints": constraints,
                "unmet": partial(_unmet, numbers, bad_lines=arguments.bad_lines),
                "progress": lambda done: bar.advance(task, done),
            }
            if sampling:
                drawn: dict[str, Any] = {"samples": n_best, "seed": seed, "numbers": numbers}
                found = iter(trained.sample(texts, sampling, **drawn, **options))
            else:
                searched: dict[str, Any] = {"n_best": n_best, "beam": beam, "length_penalty": arguments.length_penalty}
                found = iter(trained.candidates(texts, **searched, **options))
            form: dict[str, Any] = {"listed": bool(arguments.n_best), "as_json": arguments.json, "doubt": tally.doubt}
            for number, text in chunk:
                candidates = next(found) if text else []
                tally.note(number, candidates)
                for line in written(number, text, candidates, **form):
                    print(line)
            sys.stdout.flush()
    tally.tell(length_limit=trained.length_limit(arguments.max_length_ratio))
    if sampling and arguments.seed is None:
        print(said(f"seed {seed}; --seed {seed} draws the same again"), file=sys.stderr)
    return 0


def _constraints(arguments: argparse.Namespace) -> "Constraints":
    """What outputs must be like; AttentioError beside an option for a free search."""
    from attentio.runs.constraints import Constraints

    bound = arguments.prefix or arguments.require or arguments.no_repeat_ngram
    if arguments.doubtful is not None and (arguments.sample or bound):
        raise AttentioError(
            "--doubtful does not go with --sample, --prefix, --require or --no-repeat-ngram; leave out one or the other"
        )
    if bound and arguments.engine not in OWN:
        raise AttentioError(
            "--engine does not go with --prefix, --require or --no-repeat-ngram; leave out one or the other"
        )
    return Constraints(prefix=arguments.prefix, require=arguments.require, no_repeat_ngram=arguments.no_repeat_ngram)


def _doubt(arguments: argparse.Namespace, trained: "Run") -> "Doubt | None":
    """When an output is doubtful, if that is asked for; AttentioError where nothing was calibrated."""
    if arguments.doubtful is None:
        return None
    from attentio.commands.translating import Doubt
    from attentio.runs.calibrated import CALIBRATION, NAME, load_calibration
    from attentio.runs.places import outputs_folder

    path = outputs_folder(arguments.run, "evaluation") / CALIBRATION / NAME
    return Doubt(load_calibration(path, trained.model), float(arguments.doubtful))


def _unmet(numbers: Sequence[int], place: int, error: AttentioError, *, bad_lines: "BadLines") -> None:
    """Tell of a line that has no output as it must be, by its number."""
    from attentio.data.lines import bad_line

    told = str(error)
    bad_line(AttentioError(f"<stdin>:{numbers[place]}: {told}"), bad_lines)


def _sampling(arguments: argparse.Namespace) -> "Sampling | None":
    """How to draw, None for a search; AttentioError for an option that does nothing for it."""
    from attentio.decoding.sampling import Sampling

    for name in ("beam", "length_penalty") if arguments.sample else ("temperature", "top_k", "top_p", "seed"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            if arguments.sample:
                raise AttentioError(f"{option} is of a search, and --sample draws; leave one of them out")
            raise AttentioError(f"{option} is for drawing; give --sample too")
    if not arguments.sample:
        return None
    if arguments.engine not in OWN:
        raise AttentioError("--engine is of a search, and --sample draws; leave one of them out")
    temperature = 1.0 if arguments.temperature is None else float(arguments.temperature)
    try:
        return Sampling(temperature=temperature, top_k=arguments.top_k, top_p=arguments.top_p)
    except ValueError as error:
        raise AttentioError(str(error)) from None
