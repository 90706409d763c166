"""What training leaves to read: `metrics.csv`, and the same numbers for TensorBoard."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tensorboardX import SummaryWriter

Row = dict[str, int | float]
"""One row of the records: column -> number."""

COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "gradient_norm",
    "target_tokens_per_second",
    "seconds",
)


class Records:
    """Appends a row to `metrics.csv` and a point to each TensorBoard curve in `tensorboard/`.

    folder: the run directory. metrics: names of the validation's metrics, columns of their own.
    after: a resumed run's step; rows of later steps, left by a run that was killed, are dropped.

    Columns: loss in nats a target token (smoothed, teacher-forced), gradient_norm before clipping, seconds of
    training since the start of the run, validations and checkpoints not counted.
    """

    def __init__(self, folder: Path, metrics: Sequence[str], *, after: int = 0) -> None:
        self.path = folder / "metrics.csv"
        self.columns = (*COLUMNS, *metrics)
        kept = self._rows_until(after) if self.path.exists() else []
        beside = self.path.with_suffix(".csv.new")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        os.replace(beside, self.path)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)

    def write(self, row: Row) -> None:
        """Add a row; columns that it lacks stay empty."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self.board.add_scalar(name, value, int(row["step"]))

    def _rows_until(self, step: int) -> list[dict[str, str]]:
        with self.path.open(newline="") as file:
            rows = csv.DictReader(file)
            return [row for row in rows if None not in row.values() and int(row["step"]) <= step]

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.close()
