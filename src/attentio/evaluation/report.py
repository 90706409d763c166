"""Scores for a person (tables for the terminal) and for a program (a dictionary for JSON)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from attentio import system
from attentio.evaluation.by_frequency import FrequencyBin
from attentio.evaluation.by_length import LengthBin
from attentio.evaluation.calibration import Calibration
from attentio.evaluation.confusions import Confusion
from attentio.evaluation.labels import LABEL_METRICS
from attentio.evaluation.language import LANGUAGE_METRICS
from attentio.evaluation.metrics import METRICS, Score


class Output(NamedTuple):
    """What a model said for one source, and its log-probability divided by the length penalty."""

    source: str
    output: str
    right: bool
    score: float
    references: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured of a model on held-out data.

    title: of the table of scores. summary: on how much, and how, in a few words. facts: more numbers for a program.
    notes: lines for a person. outputs: what was said, where there are outputs. confusions: see `confusions`.
    calibration: of the outputs' confidence, where it was asked for.
    """

    title: str
    summary: str
    scores: list[Score]
    by_source_length: list[LengthBin] = field(default_factory=list)
    by_frequency: list[FrequencyBin] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    calibration: Calibration | None = None


def as_json(
    scores: Sequence[Score], length_bins: Sequence[LengthBin] = (), frequency_bins: Sequence[FrequencyBin] = ()
) -> dict[str, Any]:
    """The report as plain dictionaries, lists, strings and numbers.

    Keys: "scores", a list of scores with the fields of `Score`; "by_source_length" and "by_frequency", lists of bins
    with the fields of `LengthBin` and of `FrequencyBin`.
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
        "by_frequency": [
            {name: getattr(each, name) for name in ("symbol", "fewest", "most", "count")}
            | {"score": each.score._asdict()}
            for each in frequency_bins
        ],
    }


def score_table(
    scores: Sequence[Score], *, title: str = "quality of free decoding", say: Callable[[str], str] = str
) -> Table:
    """One row a score: its name, value, which way is better, and what it means or how it was computed.

    say: puts each text into the reader's language.
    """
    table = Table(title=say(title), title_justify="left")
    table.add_column(say("metric"))
    table.add_column(say("value"), justify="right")
    if any(each.margin is not None for each in scores):
        table.add_column("± 95%", justify="right")
    table.add_column(say("better"))
    table.add_column(say("meaning, or signature"), overflow="fold")
    for each in scores:
        off = [] if each.margin is None else [f"{each.margin:.2f}"]
        table.add_row(
            each.name,
            f"{each.value:.3f}" if each.name in LANGUAGE_METRICS else f"{each.value:.2f}",
            *off,
            say("higher" if each.higher_is_better else "lower"),
            Text(each.signature or say({**METRICS, **LANGUAGE_METRICS, **LABEL_METRICS}[each.name])),
        )
    return table


def write_outputs(path: Path, outputs: Sequence[Output]) -> Path:
    """Tab-separated, with a header; references from the fifth column on. A tab or line end inside a text is a space."""
    rows: list[tuple[str, ...]] = [("source", "output", "right", "score", "references")]
    for source, output, right, score, references in outputs:
        texts = (re.sub(r"[\t\r\n]", " ", text) for text in (source, output, *references))
        rows.append((next(texts), next(texts), "yes" if right else "no", f"{score:.4f}", *texts))
    return _write(path, rows)


def read_outputs(path: Path) -> list[Output]:
    """What `write_outputs` wrote."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:-1]]
    return [
        Output(source, output, right == "yes", float(score), references)
        for source, output, right, score, *references in rows
    ]


def write_confusions(path: Path, found: Sequence[Confusion]) -> Path:
    """Tab-separated, with a header; see `Confusion`."""
    return _write(path, [Confusion._fields, *(tuple(map(str, each[:4])) for each in found)])


def write_breakdown(path: Path, lengths: Sequence[LengthBin], frequencies: Sequence[FrequencyBin]) -> Path:
    """Tab-separated, with a header: by what sequences are told apart, from where to where, how many, their score."""
    bins = [("source tokens", each.shortest, each.longest, each.count, each.score) for each in lengths]
    bins += [
        (f"times of the rarest {each.symbol}", each.fewest, each.most, each.count, each.score) for each in frequencies
    ]
    rows: list[tuple[str, ...]] = [("by", "from", "to", "sequences", "metric", "value", "margin")]
    for by, first, last, count, found in bins:
        margin = "" if found.margin is None else f"{found.margin:.4f}"
        rows.append((by, str(first), str(last), str(count), found.name, f"{found.value:.4f}", margin))
    return _write(path, rows)


def _write(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    system.replace_text(path, "".join("\t".join(row) + "\n" for row in rows))
    return path


def length_table(length_bins: Sequence[LengthBin], *, say: Callable[[str], str] = str) -> Table:
    """One row a bin of source lengths, shortest first. say: see `score_table`."""
    table = Table(title=say("quality by source length"), title_justify="left")
    table.add_column(say("source tokens"), justify="right")
    table.add_column(say("sequences"), justify="right")
    for name in dict.fromkeys(each.score.name for each in length_bins):
        table.add_column(name, justify="right")
    for each in length_bins:
        table.add_row(_span(each.shortest, each.longest), f"{each.count:,}", f"{each.score.value:.2f}")
    return table


def frequency_table(bins: Sequence[FrequencyBin], *, say: Callable[[str], str] = str) -> Table:
    """One row a bin, the rarest first. say: see `score_table`."""
    table = Table(title=say("quality by the rarest symbol"), title_justify="left")
    table.add_column(say("rarest"))
    table.add_column(say("times in training"), justify="right")
    table.add_column(say("sequences"), justify="right")
    for name in dict.fromkeys(each.score.name for each in bins):
        table.add_column(name, justify="right")
    table.add_column("± 95%", justify="right")
    for each in bins:
        off = "" if each.score.margin is None else f"{each.score.margin:.2f}"
        span = _span(each.fewest, each.most)
        table.add_row(say(each.symbol), span, f"{each.count:,}", f"{each.score.value:.2f}", off)
    return table


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}-{last:,}"
