"""attentio evaluate RUN [--data FILE]: a model's quality on held-out data, as a table and as JSON."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio import system
from attentio.commands.engine import add_engine, with_engine
from attentio.commands.numbers import Beam, Documents, MaxLengthRatio
from attentio.commands.words import said

if TYPE_CHECKING:
    from attentio.config.schema import Config
    from attentio.data.part import Part
    from attentio.evaluation.report import Evaluation
    from attentio.runs.tasks import AnyRun

TAKES_OVERRIDES = False

WRITTEN = ("scores.json", "outputs.tsv", "confusions.tsv", "breakdown.tsv")
MOST_CONFUSED = 5  # that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory, a bundle, or a model that comes along; several with commas between answer together",
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="pairs or text to measure on (default: the run's data.test, data.dev, or what was held out of data.train)",
    )
    parser.add_argument(
        "--data.columns",
        dest="columns",
        metavar="A,B",
        help="of a table: the columns of source and target, by name or number (default: as configured)",
    )
    parser.add_argument(
        "--data.features",
        dest="features",
        metavar="COLUMN",
        help="of a table: the column of the sources' features, by name or number (default: as configured)",
    )
    parser.add_argument("--beam", type=Beam, help="hypotheses per text; 1 is greedy (default: as configured)")
    parser.add_argument(
        "--max-length-ratio",
        type=MaxLengthRatio,
        metavar="R",
        help="most tokens of an output for each of its source, besides ten more (default: as configured)",
    )
    add_engine(parser)
    parser.add_argument("--metrics", help="comma-separated: wer, per, exact, bleu, chrf, ter (default: as configured)")
    parser.add_argument(
        "--pseudo-perplexity",
        type=Documents,
        metavar="N",
        help="for a masked language model: also mask every token of N documents, one at a time",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit the confidence of outputs on data.dev, for `translate --doubtful`; written to evaluation/calibration",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where to write (default: RUN/evaluation or evaluation/RUN)"
    )


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from filelock import FileLock
    from rich.console import Console
    from rich.progress import Progress

    from attentio.errors import AttentioError
    from attentio.runs.build import parameters_of
    from attentio.runs.calibrated import CALIBRATION, NAME, save_calibration
    from attentio.runs.load import load
    from attentio.runs.places import outputs_folder, runs_in
    from attentio.runs.sums import weights_sum
    from attentio.runs.tasks import options_for, task_of
    from attentio.runs.training_data import trained_on

    trained = load(
        arguments.run, checkpoint=arguments.checkpoint, device=arguments.device, allow_code=arguments.allow_code
    )
    model, trained = trained.model, with_engine(trained, arguments.engine)
    given = {
        "beam": arguments.beam,
        "max_length_ratio": arguments.max_length_ratio,
        "metrics": None if arguments.metrics is None else arguments.metrics.split(","),
        "pseudo_perplexity": arguments.pseudo_perplexity,
        "calibrate": arguments.calibrate or None,
    }
    options = options_for("evaluate", trained.config, given)
    if arguments.calibrate and arguments.out:
        raise AttentioError("--calibrate writes where translate looks for it; leave --out out")
    config, part = _read(arguments, trained)
    console = Console(stderr=True, emoji=False, highlight=False)
    with Progress(console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal) as bar:
        found = task_of(config).evaluate(trained, part, bar, **options)

    folder = arguments.out or outputs_folder(arguments.run, "evaluation")
    if found.calibration:
        folder = folder / CALIBRATION
    measured = {"data": part.name, "checkpoint": arguments.checkpoint}
    counts: dict[str, Any] = {"skipped_lines": len(part.skipped), "parameters": parameters_of(model)}
    counts["weights_sha256"] = weights_sum(model)  # a later checkpoint has other scores
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # another evaluation of the run may end now too
        earlier = _set_aside(folder)
        written = _write(found, measured | counts | found.facts, folder)
        if found.calibration:
            facts = measured | {"beam": found.facts["beam"]}
            written.append(save_calibration(folder / NAME, found.calibration, model, **facts))

    notes = [f"{part.name}: {found.summary}"]
    if any(trained_on(config, part, Path(one)) for one in runs_in(arguments.run)):
        notes.append(
            f"{part.name} is what {arguments.run} was trained on: "
            "its scores tell what is remembered, not what is learnt"
        )
    if part.skipped:
        notes.append(f"skipped {len(part.skipped):,} bad lines; the first: {part.skipped[0]}")
    _show(found, [*notes, *filter(None, [part.header])])
    console.print(said(f"wrote {', '.join(map(str, written))}"), soft_wrap=True)
    if earlier:
        console.print(said(f"the evaluation that was there is now in {earlier}"), soft_wrap=True)
    return 0


def _read(arguments: argparse.Namespace, trained: "AnyRun") -> "tuple[Config, Part]":
    """The data to measure on, and the run's options with the columns that are asked for.

    Raises:
        AttentioError: there is none, it cannot be read, or features are asked for that the run does not know.
    """
    from attentio.data.pairs import kind_of
    from attentio.data.part import HELD_OUT, read_held_out, read_part
    from attentio.errors import AttentioError

    config = trained.config
    tested = None if arguments.calibrate else config.data.test
    data = arguments.data or tested or config.data.dev
    if not data and not config.data.train:
        raise AttentioError(f"{arguments.run} names no data that it was not trained on; give --data FILE")
    if arguments.columns:
        if not data or kind_of(data) in ("embedded", "parallel"):
            raise AttentioError(f"--data.columns is for tables, and {data or HELD_OUT} is none; leave it out")
        # Whether the training data had a header says nothing of these.
        config = replace(config, data=replace(config.data, columns=arguments.columns.split(","), header="auto"))
    if arguments.features:
        if not getattr(trained, "features", ()):
            raise AttentioError("--data.features is for models that are trained with features; leave it out")
        config = replace(config, data=replace(config.data, features=arguments.features))
    return config, read_part(config, data) if data else read_held_out(config, arguments.run)


def _write(found: "Evaluation", facts: dict[str, Any], folder: Path) -> list[Path]:
    """The files of an evaluation. facts: what scores.json has besides the scores."""
    from attentio.evaluation.report import as_json, write_breakdown, write_confusions, write_outputs

    report = as_json(found.scores, found.by_source_length, found.by_frequency) | facts
    written = [folder / "scores.json"]
    system.replace_text(written[0], json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if found.outputs:
        written.append(write_outputs(folder / "outputs.tsv", found.outputs))
        written.append(write_confusions(folder / "confusions.tsv", found.confusions))
    if found.by_source_length:
        breakdown = folder / "breakdown.tsv"
        written.append(write_breakdown(breakdown, found.by_source_length, found.by_frequency))
    return written


def _show(found: "Evaluation", notes: Sequence[str]) -> None:
    """The notes, the evaluation's own, and its tables."""
    from rich.console import Console

    from attentio.evaluation.report import frequency_table, length_table, score_table

    console = Console(emoji=False, highlight=False)
    for note in filter(None, [*notes, *found.notes]):
        console.print(said(note), markup=False, soft_wrap=True)
    console.print(score_table(found.scores, title=found.title, say=said))
    if found.by_source_length:
        console.print(length_table(found.by_source_length, say=said))
    bins = Counter(one.symbol for one in found.by_frequency)
    if shown := [one for one in found.by_frequency if bins[one.symbol] > 1]:  # else all were seen about as often
        console.print(frequency_table(shown, say=said))
    if found.confusions:
        told = "; ".join(map(str, found.confusions[:MOST_CONFUSED]))
        console.print(said(f"most often confused: {told}"), markup=False, soft_wrap=True)


def _set_aside(folder: Path) -> Path | None:
    """Move what an evaluation wrote there into a folder of its own inside, and tell which."""
    there = [path for name in WRITTEN if (path := folder / name).is_file()]
    if not there:
        return None
    number = 1
    while (earlier := folder / f"earlier-{number}").exists():
        number += 1
    earlier.mkdir()
    for path in there:
        path.rename(earlier / path.name)
    return earlier
