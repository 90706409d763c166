"""What training leaves to read: `metrics.csv`, the same numbers for TensorBoard, and how much memory it took."""

import csv
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from attentio import system
from attentio.errors import AttentioError, extra
from attentio.files import check_regular, read_text
from attentio.system import naming

with extra("train"):
    from tensorboardX import SummaryWriter

_log = logging.getLogger(__name__)

MetricsRow = dict[str, int | float]
"""One row of the records: column -> number."""

MEMORY = "memory.json"
_MOST = 1000  # bytes of it
COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "gradient_norm",
    "target_tokens_per_second",
    "seconds",
)

METRICS = "metrics.csv"


class Records:
    """Appends a row to `metrics.csv` and a point to each TensorBoard curve in `tensorboard/`.

    folder: the run directory. metrics: names of the validation's metrics, columns of their own.
    after: a resumed run's step; rows of later steps, left by a run that was killed, are dropped. A file that is no
        longer as it was written is set aside as `metrics.csv.bak`.

    Columns: loss in nats per target token (smoothed, teacher-forced), gradient_norm before clipping, seconds of
    training since the start of the run, validations and checkpoints not counted.
    """

    def __init__(self, folder: Path, metrics: Sequence[str], *, after: int = 0) -> None:
        self.path = folder / METRICS
        self.columns = (*COLUMNS, *metrics)
        kept = self._kept(after) if self.path.exists() else []
        beside = self.path.with_suffix(".csv.new")
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        os.replace(beside, self.path)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)

    def write(self, row: MetricsRow) -> None:
        """Add a row; columns that it lacks stay empty."""
        with naming(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self.board.add_scalar(name, value, int(row["step"]))

    def _kept(self, step: int) -> list[dict[str, str]]:
        """The rows up to a step; none where another program, such as Excel, has made something else of the file."""
        try:
            return [row for row in read_metrics(self.path, self.columns) if int(row["step"]) <= step]
        except AttentioError:
            aside = self.path.with_suffix(".csv.bak")
            os.replace(self.path, aside)
            _log.warning("%s is not as it was written; it is now %s, and a new one begins", self.path, aside.name)
            return []

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.close()


def read_metrics(path: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """The whole rows of a `metrics.csv`, without a last one that was cut when training was killed.

    Raises:
        AttentioError: it cannot be read, or a number in these columns is none.
    """
    try:
        check_regular(path)
        with path.open(encoding="utf-8", newline="") as file:
            whole = [row for row in csv.DictReader(file) if None not in row.values()]
        for row in whole:
            int(row["step"])
            for name in columns:
                float(row.get(name) or "nan")
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise AttentioError(f"{path} is not as training wrote it; remove or restore it") from None
    return whole


def write_memory(folder: Path) -> None:
    """Keep the most memory that training in this folder has taken, in MB, where the system tells it."""
    peak, known = system.peak_megabytes(), read_memory(folder)
    if peak is not None:
        system.replace_text(folder / MEMORY, json.dumps(max(peak, known or 0.0)) + "\n")


def read_memory(folder: Path) -> float | None:
    """What `write_memory` wrote; None where it wrote nothing."""
    try:
        return float(json.loads(read_text(folder / MEMORY, most=_MOST)))
    except (AttentioError, ValueError, TypeError, RecursionError, OverflowError):
        return None
