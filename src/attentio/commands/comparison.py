"""What a comparison found: the variants in one table, in the forms that people take away, and as pictures."""

import csv
import io
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attentio import system
from attentio.commands.words import said

if TYPE_CHECKING:
    from rich.console import Console


class Measured(NamedTuple):
    """What one run reached.

    folder: of its evaluation. peak_megabytes: most memory its training took; None where that is not known, as of a
    bundle, of which nothing of its training is known.
    """

    folder: str
    scores: dict[str, float]
    by_source_length: list[dict[str, Any]]
    parameters: int
    target_tokens_per_second: float | None
    peak_megabytes: float | None
    seconds: float | None


class Outcome(NamedTuple):
    """What one variant reached, with one seed or with several.

    waits: whether each step of its training waits for the attention of the one before. p_value: how probable so great a
    difference from the first variant is if neither is better; None for the first, for language models, and for several
    seeds.
    """

    variant: str
    runs: list[Measured]
    waits: bool
    p_value: float | None = None

    def mean(self, metric: str) -> float:
        return statistics.fmean(run.scores[metric] for run in self.runs)

    def deviation(self, metric: str) -> float:
        """Standard deviation over the seeds."""
        return statistics.stdev(run.scores[metric] for run in self.runs) if len(self.runs) > 1 else 0.0


def _columns(outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    """The table: each column's cells by its heading. What is not known is "-"; what is known of none is left out."""

    def whole(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}"

    def score(outcome: Outcome, metric: str) -> str:
        shown = f"{outcome.mean(metric):.2f}"
        return f"{shown} ± {outcome.deviation(metric):.2f}" if len(outcome.runs) > 1 else shown

    columns = {"variant": [outcome.variant for outcome in outcomes]}
    columns |= {name: [score(outcome, name) for outcome in outcomes] for name in outcomes[0].runs[0].scores}
    columns["p"] = ["-" if one.p_value is None else f"{one.p_value:.3f}" for one in outcomes]
    if any(len(outcome.runs) > 1 for outcome in outcomes):
        columns["seeds"] = [str(len(outcome.runs)) for outcome in outcomes]
    columns |= {
        "training tokens/s": [whole(_mean(one, "target_tokens_per_second")) for one in outcomes],
        "waits for attention": ["yes" if one.waits else "no" for one in outcomes],
        "minutes": ["-" if (seconds := _mean(one, "seconds")) is None else f"{seconds / 60:.1f}" for one in outcomes],
        "peak MB": [whole(_mean(one, "peak_megabytes")) for one in outcomes],
        "parameters": [f"{one.runs[0].parameters:,}" for one in outcomes],
    }
    return {heading: cells for heading, cells in columns.items() if set(cells) != {"-"}}


def _mean(outcome: Outcome, field: str) -> float | None:
    """Over the seeds; None where it is not known."""
    known = [value for run in outcome.runs if (value := getattr(run, field)) is not None]
    return statistics.fmean(known) if known else None


def print_table(console: "Console", outcomes: Sequence[Outcome]) -> None:
    """A variant in each row; in each column where that is too wide for the console, and less so. Nothing is cut off."""
    from rich.cells import cell_len
    from rich.table import Table

    columns = [[said(heading), *cells] for heading, cells in _columns(outcomes).items()]
    least = [max(map(cell_len, (*heading.split(), *cells))) for heading, *cells in columns]
    turned = [list(row) for row in zip(*columns, strict=True)]
    least_turned = [max(map(cell_len, cells)) for _, *cells in turned]  # names of variants may be broken
    if _width(least) > max(console.width, _width(least_turned)):
        columns, least = turned, least_turned
    shown = Table()
    for number, ((heading, *_), width) in enumerate(zip(columns, least, strict=True)):
        shown.add_column(heading, justify="right" if number else "left", min_width=width, overflow="fold")
    for cells in list(zip(*columns, strict=True))[1:]:
        shown.add_row(*cells)
    console.print(shown, width=max(_width(least), console.width), crop=False)


def _width(columns: Sequence[int]) -> int:
    """Of a table of columns so wide, with what stands between them."""
    return sum(3 + width for width in columns) + 1


def write(folder: Path, outcomes: Sequence[Outcome]) -> list[Path]:
    """The table as JSON, CSV, Markdown and LaTeX, and one or two pictures."""
    from attentio.evaluation.by_length import LengthBin
    from attentio.evaluation.metrics import Score
    from attentio.pictures.curves import save_comparison, save_quality_by_length

    columns = _columns(outcomes)
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    content = [outcome._asdict() | {"runs": [run._asdict() for run in outcome.runs]} for outcome in outcomes]
    texts = {
        "compare.json": json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        "compare.csv": _csv(outcomes),
        "compare.md": _markdown(rows),
        "compare.tex": _latex(rows),
    }
    written = [folder / name for name in texts]
    for path, text in zip(written, texts.values(), strict=True):
        system.replace_text(path, text)
    metric = next(iter(outcomes[0].runs[0].scores))
    bins = {
        outcome.variant: [
            LengthBin(**{**each, "score": Score(**each["score"])}) for each in outcome.runs[0].by_source_length
        ]
        for outcome in outcomes
    }
    speeds = [_mean(one, "target_tokens_per_second") for one in outcomes]
    bars = [(one.variant, one.mean(metric), speed) for one, speed in zip(outcomes, speeds, strict=True)]
    written.append(save_comparison(folder / "compare.png", bars, quality=metric))
    if any(bins.values()):  # not of language models
        written.append(save_quality_by_length(folder / "by-length.png", bins))
    return written


def _csv(outcomes: Sequence[Outcome]) -> str:
    """The numbers as other programs read them: whole, without commas, and nothing where one is not known."""
    rows = []
    for one in outcomes:
        row: dict[str, Any] = {"variant": one.variant, "seeds": len(one.runs)}
        for metric in outcomes[0].runs[0].scores:
            row |= {metric: one.mean(metric)}
            row |= {f"{metric}_deviation": one.deviation(metric) if len(one.runs) > 1 else None}
        numbers = {name: _mean(one, name) for name in ("target_tokens_per_second", "seconds", "peak_megabytes")}
        waits = "yes" if one.waits else "no"
        rows.append(
            {**row, "p": one.p_value, "waits_for_attention": waits, **numbers, "parameters": one.runs[0].parameters}
        )
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(rows[0]) - 1)]
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def _latex(rows: Sequence[Sequence[str]]) -> str:
    """For the package booktabs."""
    heading, *lines = (
        " & ".join(re.sub(r"([&%_#$])", r"\\\1", cell).replace("±", r"$\pm$") for cell in row) for row in rows
    )
    body = "".join(f"{line} \\\\\n" for line in lines)
    layout = "l" + "r" * (len(rows[0]) - 1)
    return (
        f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{heading} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
    )
