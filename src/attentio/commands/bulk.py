"""attentio translate RUN --input DIR --output DIR: each file of a folder, by one process or several."""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio import system
from attentio.commands.engine import with_engine
from attentio.commands.words import said
from attentio.errors import AttentioError

if TYPE_CHECKING:
    from attentio.runs.folders import Job
    from attentio.runs.translator import Run

_OF_LINES = (
    *("n_best", "json", "doubtful", "sample", "temperature", "top_k", "top_p", "seed"),
    *("prefix", "require", "no_repeat_ngram"),
)
"""Options of `translate` whose output is not the one best line for each, or not of a free search."""


def translate_folder(arguments: argparse.Namespace) -> int:
    """Translate what is missing, together with the processes that are asked for. Returns the exit code."""
    if not (arguments.input and arguments.output):
        raise AttentioError("a folder is translated with both --input DIR and --output DIR; --processes goes with them")
    values = {name: getattr(arguments, name, None) for name in _OF_LINES}
    if given := [name for name, value in values.items() if value or (value == 0 and value is not False)]:
        raise AttentioError(
            f"--{given[0].replace('_', '-')} is for lines of standard input, not for --input; leave it out"
        )
    count = arguments.processes or 1
    if count > 1:  # before torch, which reads it when it is loaded
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    context: Any = system.process_context()
    others = [context.Process(target=_help, args=(arguments,), daemon=True) for _ in range(count - 1)]
    for other in others:
        other.start()
    try:
        jobs = _work(arguments, shown=True)
        for other in others:
            other.join()
    finally:
        for other in others:
            other.terminate()
    lines = sum(job.lines for job in jobs)
    print(said(f"{lines:,} lines of {len(jobs):,} files are translated, in {arguments.output}"), file=sys.stderr)
    return 0


def _help(arguments: argparse.Namespace) -> None:
    """What a further process does. What it fails in, the first process tries again, and tells."""
    system.settle()
    try:
        _work(arguments, shown=False)
    except AttentioError:
        sys.exit(2)


def _work(arguments: argparse.Namespace, *, shown: bool) -> "list[Job]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from attentio.runs.folders import jobs_of, work
    from attentio.runs.load import load_as
    from attentio.runs.translator import Run

    run = load_as(
        Run, arguments.run, checkpoint=arguments.checkpoint, device=arguments.device, allow_code=arguments.allow_code
    )
    own, run = run, with_engine(run, arguments.engine)
    configured = run.config.decoding
    options = {
        name: getattr(configured, name) if (given := getattr(arguments, name)) is None else given
        for name in ("beam", "length_penalty", "max_length_ratio")
    }
    jobs = jobs_of(arguments.input, arguments.output, {"model": _sum_of(own), "engine": arguments.engine, **options})
    console = Console(stderr=True)
    columns = (
        TextColumn(said("translating")),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(said("left")),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("", total=sum(job.lines for job in jobs))

        def show() -> None:
            bar.update(task, completed=sum(job.lines_done() for job in jobs))

        translate, end = _translator(run, options, arguments.bad_lines)
        work(jobs, translate, each_part=show)
    end()
    return jobs


def _translator(
    run: "Run", options: dict[str, Any], bad_lines: Any
) -> tuple[Callable[[Path, int, Sequence[bytes]], list[str]], Callable[[], None]]:
    """What translates a part, and what tells in the end how many outputs are cut off."""
    from attentio.commands.unknown import UnknownTexts
    from attentio.data.lines import checked_sources

    unknown = UnknownTexts()
    cut: list[str] = []

    def translate(path: Path, first: int, lines: Sequence[bytes]) -> list[str]:
        chunk = list(checked_sources(lines, str(path), first=first, bad_lines=bad_lines, check=run.check_source))
        found = iter(run.candidates([text for _, text in chunk if text], n_best=1, attention=False, **options))
        outputs = []
        for number, text in chunk:
            best = next(found)[0] if text else None
            if best is not None:
                unknown.note(best.unknown, f"{path}:{number}")
                cut.extend([] if best.finished else [f"{path}:{number}"])
            # A model trained on JSON can say a line feed; one line in stays one line out.
            outputs.append(best.text.replace("\n", " ") if best is not None else "")
        return outputs

    def end() -> None:
        unknown.end()
        if cut:
            told = (
                f"{len(cut):,} outputs are cut off, the first: {cut[0]}; --max-length-ratio lets them have more tokens"
            )
            print(said(told), file=sys.stderr)

    return translate, end


def _sum_of(run: "Run") -> str:
    """The SHA-256 of the weights and the vocabularies."""
    from attentio.runs.sums import weights_sum

    sha = hashlib.sha256(weights_sum(run.model).encode())
    for tokenizer in (run.tokenizers.source, run.tokenizers.target):
        sha.update("\n".join(tokenizer.tokens(range(tokenizer.size))).encode("utf-8", "surrogatepass"))
    return sha.hexdigest()
