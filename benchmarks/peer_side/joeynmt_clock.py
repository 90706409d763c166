"""`joeynmt train CONFIG --skip-test`, with the clock read at the start of every training step.

    python joeynmt_clock.py CONFIG CLOCK.json        (JoeyNMT's interpreter)

The step that is timed is JoeyNMT's own: the subclass below reads the clock and the batch's counts and hands
over.
"""

import json
import runpy
import sys
import time
from pathlib import Path

import joeynmt.training


class ClockedTrainManager(joeynmt.training.TrainManager):
    steps: list[dict[str, float]] = []  # noqa: RUF012

    def _train_step(self, batch):
        self.steps.append(
            {
                "start": time.perf_counter(),
                "sentences": batch.nseqs,
                "target_tokens": batch.ntokens,
                "padded_target_tokens": batch.trg.numel(),
            }
        )
        return super()._train_step(batch)


if __name__ == "__main__":
    config, clock = sys.argv[1:]
    joeynmt.training.TrainManager = ClockedTrainManager
    sys.argv = ["joeynmt", "train", config, "--skip-test"]
    runpy.run_module("joeynmt", run_name="__main__")
    Path(clock).write_text(json.dumps(ClockedTrainManager.steps), encoding="utf-8")
