"""How fast the variants of the recipe `who-waits` train: python benchmarks/who_waits.py

The variants take turns, update by update on the same batches, and what counts is the processor's time of one thread: so
other work on the machine does not matter. Target tokens per second, the median of all updates.
"""

import statistics
import time

import torch

from attentio.commands.compare import _variants, waits_for_attention
from attentio.data.batches import IGNORE_INDEX
from attentio.data.part import read_part
from attentio.runs.tasks import task_of
from attentio.training.loss import Objective

UPDATES = 30
WARMUP = 3


def main() -> None:
    torch.set_num_threads(1)
    variants = _variants("who-waits", [])
    first = next(iter(variants.values()))
    task = task_of(first)
    part = read_part(first, first.data.train)
    tokenizers = task.learn(first, part)
    corpus = task.corpus(first, part, tokenizers, seed=1)
    batches = [corpus.load(indices, 0) for indices in corpus.epoch_batches(0)[: UPDATES + WARMUP]]
    learners = {}
    for name, config in variants.items():
        model = task.blueprint.build_model(config.model, tokenizers, seed=1)
        objective = Objective(model, label_smoothing=config.training.label_smoothing, never=0)
        learners[name] = objective, torch.optim.Adam(objective.parameters())
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for batch in batches:
        for name, (objective, optimizer) in learners.items():
            started = time.process_time()
            optimizer.zero_grad()
            objective(batch.labels, *batch.inputs).backward()
            optimizer.step()
            speeds[name].append(int((batch.labels != IGNORE_INDEX).sum()) / (time.process_time() - started))
    print("| variant | training tokens/s | waits for attention |\n|---|--:|---|")
    for name, config in variants.items():
        waits = "yes" if waits_for_attention(config.model) else "no"
        print(f"| {name} | {statistics.median(speeds[name][WARMUP:]):,.0f} | {waits} |")


if __name__ == "__main__":
    main()
