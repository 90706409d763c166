"""attentio score RUN < pairs.tsv: how probable a model finds given outputs, line by line."""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio.commands.arriving import Arriving, as_they_arrive
from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.runs.generator import CausalRun
    from attentio.runs.outputs import Scored
    from attentio.runs.translator import Run

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A line is source and target, separated by a tab, or for a causal language model a text. For each line three\n"
        "columns are written: the natural logarithm of the probability of the target and its end, the same divided by\n"
        "the number of its tokens, and the perplexity."
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory, a bundle, or a model that comes along; several with commas between answer together",
    )
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each line, with every token's probability"
    )
    parser.add_argument("--bad-lines", choices=("stop", "skip"), default="stop", help="skip: leave their output empty")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from attentio.commands.unknown import UnknownTexts
    from attentio.data.lines import read_pair_lines, read_sources
    from attentio.runs.generator import CausalRun
    from attentio.runs.outputs import perplexity_of
    from attentio.text.unknown import unknown_in

    trained, arriving = _loaded(arguments), Arriving(sys.stdin.buffer)
    lines: Iterator[tuple[int, Any]]
    if isinstance(trained, CausalRun):
        lines = read_sources(arriving, "<stdin>", bad_lines=arguments.bad_lines, check=trained.check_text)
    else:
        how: dict[str, Any] = {"featured": bool(trained.features), "bad_lines": arguments.bad_lines}
        how["check"] = trained.check_pair
        lines = enumerate(read_pair_lines(arriving, "<stdin>", **how), start=1)
    unknown, console = UnknownTexts(), Console(stderr=True)
    total, tokens, blank = 0.0, 0, 0
    shown = console.is_terminal and not (sys.stdin.isatty() or sys.stdout.isatty())
    with Progress(console=console, transient=True, redirect_stdout=False, disable=not shown) as bar:
        task = bar.add_task(said("scoring"), total=None)
        for chunk in as_they_arrive(lines, arriving):
            given_here = [given for _, given in chunk if given and any(given)]
            found = iter(trained.score(given_here, progress=lambda done: bar.advance(task, done)))
            for number, given in chunk:
                if not given or not any(given):  # one line in stays one line out
                    blank += 1
                    print()
                    continue
                one = next(found)
                source, target = (None, given) if isinstance(trained, CausalRun) else given
                if isinstance(trained, CausalRun):
                    unknown.note(unknown_in(trained.read(given), trained.tokenizer), f"line {number}")
                else:
                    unknown.note_pair(trained, given[0], given[1], number)
                total, tokens = total + one.log_prob, tokens + len(one.tokens)
                print(_written(one, number, source, target, as_json=arguments.json))
            sys.stdout.flush()
    unknown.end()
    if blank:
        print(said(f"lines that are blank or were skipped, which have no score: {blank:,}"), file=sys.stderr)
    if tokens:
        perplexity = perplexity_of(total, tokens)
        summary = f"log-probability {total:.4f} of {tokens:,} tokens in all, perplexity {perplexity:.4g}"
        print(said(summary), file=sys.stderr)
    return 0


def _loaded(arguments: argparse.Namespace) -> "Run | CausalRun":
    from attentio.errors import AttentioError
    from attentio.runs.filler import MaskedRun
    from attentio.runs.labeller import LabelRun
    from attentio.runs.load import load

    trained = load(
        arguments.run, checkpoint=arguments.checkpoint, device=arguments.device, allow_code=arguments.allow_code
    )
    if isinstance(trained, MaskedRun):
        raise AttentioError(
            f"{arguments.run}: a masked language model gives a text no probability; `attentio evaluate "
            f"--pseudo-perplexity N` comes nearest"
        )
    if isinstance(trained, LabelRun):
        raise AttentioError(f"{arguments.run}: a labeller gives a text labels and no probability; use `attentio label`")
    return trained


def _written(one: "Scored", number: int, source: str | None, target: str, *, as_json: bool) -> str:
    from attentio.commands.translating import tokens_told

    each = one.log_prob / len(one.tokens)
    if not as_json:
        return f"{one.log_prob:.4f}\t{each:.4f}\t{one.perplexity:.4g}"
    told: dict[str, Any] = {"line": number} | ({} if source is None else {"source": source}) | {"target": target}
    numbers = {"log_prob": one.log_prob, "per_token": each, "perplexity": one.perplexity}
    # JSON has no infinity, which a target that a model holds impossible has.
    told |= {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return json.dumps(told | {"tokens": tokens_told(one)}, ensure_ascii=False)
