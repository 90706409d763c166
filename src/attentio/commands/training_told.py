"""What a training says of itself: the data and the model, where its weights come from, and how far it is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attentio.commands.words import said
from attentio.config.schema import Config

if TYPE_CHECKING:
    from attentio.data.part import Part
    from attentio.runs.directory import Contents
    from attentio.runs.initial import Initial
    from attentio.training.records import MetricsRow

MOST_SHOWN = 20
"""Weights and symbols that are told by name."""


def introduce(console: Any, say: Callable[[str], None], contents: "Contents", train: "Part", dev: "Part") -> None:
    """What the data look like, and how big the model is."""
    from rich.table import Column, Table

    from attentio.data.part import HELD_OUT
    from attentio.data.survey import survey
    from attentio.runs.build import parameters_of

    for part in (train, dev):
        say(f"{part.name}: {len(part.items):,} {part.unit}")
        if part.skipped:
            say(f"  skipped {len(part.skipped):,} bad lines; the first: {part.skipped[0]}")
    if contents.config.data.dev is None:
        say(
            f"  data.dev is not given: this part is not trained on, but validated on; {contents.path / HELD_OUT} has it"
        )
    source, target = contents.tokenizers.source, contents.tokenizers.target
    vocabularies = {"source": source.plain, "documents": source, "target": target}
    known_features = getattr(source, "features", ())

    def knows(side: str, symbol: str) -> bool:
        return symbol in known_features if side == "features" else not vocabularies[side].unknown_spans(symbol)

    found = survey(contents.config, train, dev, knows=knows)
    table = Table("", *(Column(said(heading), justify="right") for heading in ("train", "dev")))
    for row in found.rows:
        table.add_row(*map(said, row))
    console.print(table)
    for note in dict.fromkeys([train.header, dev.header, *found.notes]):
        if note:
            say(note)
    training = contents.config.training
    if training.warmup >= training.max_steps:
        say(
            f"training.warmup is {training.warmup:,} of {training.max_steps:,} updates: the learning rate climbs to "
            "the end, and little is learnt; lower it, or train longer"
        )
    parameters = parameters_of(contents.model)
    sizes = dict.fromkeys(
        f"{tokenizer.size:,}" for tokenizer in (contents.tokenizers.source, contents.tokenizers.target)
    )
    say(f"vocabulary: {', '.join(sizes)}; {parameters:,} parameters; writing to {contents.path}")


def tell_origin(console: Any, say: Callable[[str], None], taken: "Initial") -> None:
    """Which weights are those of the model that training begins with, and why the others are not."""
    from rich.table import Table

    say(f"begins with the weights of {taken.origin}")
    headings = ("weights", "", "why")
    table = Table(*map(said, headings))
    table.add_row(said(f"{len(taken.taken):,} tensors"), said("taken"), said(f"{sum(taken.taken.values()):,} numbers"))
    rows = [(name, said("with new rows"), said(f"{count:,} more entries")) for name, count in taken.grown.items()]
    rows += [(name, said("new"), why) for name, why in taken.new.items()]
    rows += [(name, said("left out"), why) for name, why in taken.left_out.items() if name not in taken.new]
    for name, what, why in rows[:MOST_SHOWN]:
        table.add_row(name, what, said(why))
    console.print(table)
    if len(rows) > MOST_SHOWN:
        say(f"and {len(rows) - MOST_SHOWN:,} more, in init.json")
    if taken.symbols:
        say(f"new in the vocabulary: {_listed(taken.symbols)}")
    for note in taken.otherwise:
        say(note)


def tell_lacking(say: Callable[[str], None], config: Config, symbols: list[str]) -> None:
    """Which symbols of the training data the vocabulary does not know."""
    if symbols and config.text.source.tokenizer == "pretrained":
        say(f"not in the vocabulary, which is kept: {_listed(symbols)}")
    elif symbols:
        say(f"not in the vocabulary, which is kept: {_listed(symbols)}; --text.extend true adds them")


def _listed(symbols: Sequence[str]) -> str:
    shown = " ".join(map(repr, symbols[:MOST_SHOWN])) + (" .." if len(symbols) > MOST_SHOWN else "")
    return f"{len(symbols):,} ({shown})"


@contextmanager
def progress(console: Any, total: int, done: int) -> Iterator[Callable[["MetricsRow", int], None]]:
    """Yields a function that takes each row of the records, and how many updates there will be.

    Without a terminal, rows become plain lines.
    """

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    def line(row: "MetricsRow") -> str:
        return said(f"loss {row['loss']:.3f}  {row['target_tokens_per_second']:,.0f} tokens/s")

    if not console.is_terminal:
        yield lambda row, total: console.print(said(f"step {row['step']}/{total}") + f"  {line(row)}", highlight=False)
        return
    columns = (
        TextColumn(said("training")),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn(said("left")),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, redirect_stdout=False) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda row, total: bar.update(task, completed=int(row["step"]), total=total, description=line(row))
