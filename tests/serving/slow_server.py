"""python slow_server.py TYPE SECONDS LIMITS: an untrained model, each step of which takes as long, on a free port.

Its outputs never end before they must. LIMITS: as JSON.
"""

import json
import sys
import time
from typing import Any

import torch
from untrained_runs import untrained

from attentio.serving.answers import Answers
from attentio.serving.limits import Limits
from attentio.serving.log import log_in_json
from attentio.serving.metrics import Metrics
from attentio.serving.model_queue import ModelQueue
from attentio.serving.server import Server


def main(type: str, seconds: str, given: str) -> None:
    torch.manual_seed(1)
    run = untrained(type=type)
    run.model.step = _slowed(run.model.step, run.end, float(seconds))
    limits, metrics = Limits(**json.loads(given)), Metrics()
    queue = ModelQueue(limits, metrics)
    server = Server("127.0.0.1", 0, Answers(run, queue, metrics, limits).door(page=True), queue, limits)
    print(server.url, flush=True)
    with log_in_json():
        server.run()
    print("ended", flush=True)


def _slowed(step: Any, end: int, seconds: float) -> Any:
    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        made = step(*arguments, **options)
        made.logits[..., end] -= 50
        return made

    return slow


if __name__ == "__main__":
    main(*sys.argv[1:])
