"""The bar over a training run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from attentio.training.records import Row


@contextmanager
def training_progress(console: Console, total: int, done: int) -> Iterator[Callable[[Row], None]]:
    """Yields a function that takes each row of the records. Without a terminal, rows become plain lines."""

    def line(row: Row) -> str:
        return f"loss {row['loss']:.3f}  {row['target_tokens_per_second']:,.0f} tokens/s"

    if not console.is_terminal:
        yield lambda row: console.print(f"step {row['step']}/{total}  {line(row)}", highlight=False)
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda row: bar.update(task, completed=int(row["step"]), description=line(row))
