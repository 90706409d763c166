"""Scores for a person (tables for the terminal) and for a program (a dictionary for JSON)."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from attentio.evaluation.by_length import LengthBin
from attentio.evaluation.language import LANGUAGE_METRICS
from attentio.evaluation.metrics import METRICS, Score


def as_json(scores: Sequence[Score], length_bins: Sequence[LengthBin] = ()) -> dict[str, Any]:
    """The report as plain dictionaries, lists, strings and numbers.

    Keys: "scores", a list of scores with the fields of `Score`, and "by_source_length", a list of bins with
    the fields of `LengthBin`.
    """
    return {
        "scores": [each._asdict() for each in scores],
        "by_source_length": [
            {
                "shortest": each.shortest,
                "longest": each.longest,
                "count": each.count,
                "score": each.score._asdict(),
            }
            for each in length_bins
        ],
    }


def score_table(scores: Sequence[Score], *, title: str = "quality of free decoding") -> Table:
    """One row a score: its name, value, which way is better, and what it means or how it was computed."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("better")
    table.add_column("meaning, or signature", overflow="fold")
    for each in scores:
        table.add_row(
            each.name,
            f"{each.value:.3f}" if each.name in LANGUAGE_METRICS else f"{each.value:.2f}",
            "higher" if each.higher_is_better else "lower",
            Text(each.signature or {**METRICS, **LANGUAGE_METRICS}[each.name]),
        )
    return table


def length_table(length_bins: Sequence[LengthBin]) -> Table:
    """One row a bin of source lengths, shortest first."""
    table = Table(title="quality by source length", title_justify="left")
    table.add_column("source tokens", justify="right")
    table.add_column("sequences", justify="right")
    for name in dict.fromkeys(each.score.name for each in length_bins):
        table.add_column(name, justify="right")
    for each in length_bins:
        span = f"{each.shortest}" if each.shortest == each.longest else f"{each.shortest}-{each.longest}"
        table.add_row(span, str(each.count), f"{each.score.value:.2f}")
    return table
