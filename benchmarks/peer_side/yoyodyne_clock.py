"""A Lightning callback that reads the clock round every training epoch; named in yoyodyne's configuration.

Runs in yoyodyne's interpreter with this folder on PYTHONPATH. It only reads the clock and the batches'
counts.
"""

import json
import time
from pathlib import Path

import lightning
from yoyodyne import special


class EpochClock(lightning.Callback):
    """Writes, for every epoch, its seconds, updates, words, and target tokens without and with padding.

    Args:
        path: the JSON file that is written when training ends.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.epochs: list[dict[str, float]] = []
        self.start = 0.0

    def on_train_epoch_start(self, trainer, module) -> None:
        self.epochs.append({"updates": 0, "words": 0, "target_tokens": 0, "padded_target_tokens": 0})
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        target = batch.target.tensor
        epoch = self.epochs[-1]
        epoch["updates"] += 1
        epoch["words"] += len(target)
        epoch["target_tokens"] += int((target != special.PAD_IDX).sum())
        epoch["padded_target_tokens"] += target.numel()

    def on_train_epoch_end(self, trainer, module) -> None:
        self.epochs[-1]["seconds"] = time.perf_counter() - self.start

    def on_train_end(self, trainer, module) -> None:
        self.path.write_text(json.dumps(self.epochs), encoding="utf-8")
