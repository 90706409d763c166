"""Training throughput beside the peers': both sides in turn in one run, on identical tokens and equally many
threads.

    python benchmarks/training_throughput.py --data DIR --envs DIR --work DIR [--repeats 3] [--jobs ...]

--data holds multi30k/ and g2p/; --envs the peers' environments, made on first use (see `peers.py`); --work
takes the prepared data and the runs. Prints a table and writes
`benchmarks/results/training_throughput.json`, every single run and its settings among it. Needs the machine
for itself: two threads that share a core with anything else wait for each other.

A token is a real target token: a piece or phone, or the one EOS of a line; neither BOS nor padding. Each
side makes its batches in its own way, and time is that of training alone, loading a batch included,
validation and saving not. How a peer is set up and timed is said in `joeynmt_run.py` and `yoyodyne_run.py`;
ours in `run_ours`. The table has the median of the repeats, and the ratio of ours to the peer's median with
the smallest and largest ratio of a single repeat.

| job | peer | updates thrown away + timed: peer | ours |
|---|---|---|---|
| multi30k-bahdanau, multi30k-luong | JoeyNMT, batches of 2,048 tokens | 10 + 30 | 10 + 30 |
| korean-g2p | yoyodyne, batches of 64 words | 1 + 3 epochs of 57 | 57 + 171 |
"""

import argparse
import csv
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import corpora
import joeynmt_run
import peers
import yoyodyne_run

HERE = Path(__file__).parent
MULTI30K_UPDATES = 30
KOREAN_EPOCHS = 3
KOREAN_EPOCH_UPDATES = 57
HEADER = f"{'job':18} {'peer':17} {'peer':>8} {'ours':>7} {'peer':>7} {'ours':>7} {'':>6} (of single repeats)"


class Job(NamedTuple):
    """One row of the table.

    corpus: (data, work) -> the prepared corpus.
    run_peer: (interpreter, corpus, run folder, threads) -> the peer's result.
    config: ours, in configs/. warm_up, updates: thrown away, and timed, of ours. log_every: divides both.
    """

    peer: str
    corpus: Callable[[Path, Path], corpora.Corpus]
    run_peer: Callable[[Path, corpora.Corpus, Path, int], dict]
    config: str
    warm_up: int
    updates: int
    log_every: int


def multi30k_job(attention: str) -> Job:
    def run_peer(python: Path, corpus: corpora.Corpus, run: Path, threads: int) -> dict:
        return joeynmt_run.train(
            python=python,
            corpus=corpus.folder,
            run=run,
            attention=attention,
            updates=MULTI30K_UPDATES,
            threads=threads,
        )

    return Job(
        peer="joeynmt",
        corpus=corpora.multi30k,
        run_peer=run_peer,
        config=f"multi30k_{attention}.yaml",
        warm_up=joeynmt_run.WARM_UP,
        updates=MULTI30K_UPDATES,
        log_every=joeynmt_run.LOG_EVERY,
    )


def korean_job() -> Job:
    def run_peer(python: Path, corpus: corpora.Corpus, run: Path, threads: int) -> dict:
        return yoyodyne_run.train(python=python, corpus=corpus.folder, run=run, epochs=KOREAN_EPOCHS, threads=threads)

    return Job(
        peer="yoyodyne",
        corpus=corpora.korean_g2p,
        run_peer=run_peer,
        config="korean_g2p.yaml",
        warm_up=KOREAN_EPOCH_UPDATES,
        updates=KOREAN_EPOCHS * KOREAN_EPOCH_UPDATES,
        log_every=KOREAN_EPOCH_UPDATES,
    )


JOBS = {
    "multi30k-bahdanau": multi30k_job("bahdanau"),
    "multi30k-luong": multi30k_job("luong"),
    "korean-g2p": korean_job(),
}


def run_ours(job: Job, corpus: corpora.Corpus, run: Path, threads: int) -> dict:
    """Train with `attentio train` and read the throughput after the warm-up from its `metrics.csv`.

    A row's `target_tokens_per_second` is that of the updates since the row before; `seconds` is the time
    spent in updates since the run's start.
    """
    shutil.rmtree(run, ignore_errors=True)  # an earlier benchmark's run would be resumed
    run.mkdir(parents=True)
    steps = job.warm_up + job.updates
    options = {
        "--run": run / "run",
        "--data.train": corpus.train,
        "--data.dev": corpus.dev,
        "--training.max_steps": steps,
        "--training.log_every": job.log_every,
        "--training.validate_every": steps,
        "--training.checkpoint_every": steps,
    }
    command: list[str | Path] = [
        Path(sys.executable).with_name("attentio"),
        "train",
        HERE / "configs" / job.config,
    ]
    for name, value in options.items():
        command += [name, str(value)]
    peers.launch(command, threads=threads, log=run / "output.txt")
    with (run / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = tokens = 0.0
    for before, row in pairwise(rows):
        if int(row["step"]) > job.warm_up:
            elapsed = float(row["seconds"]) - float(before["seconds"])
            seconds += elapsed
            tokens += float(row["target_tokens_per_second"]) * elapsed
    return {
        "target_tokens_per_second": tokens / seconds,
        "target_tokens": round(tokens),
        "updates": job.updates,
        "seconds": seconds,
        "versions": peers.versions(Path(sys.executable), ("attentio", "torch")),
        "config": (HERE / "configs" / job.config).read_text(encoding="utf-8"),
    }


def measure(job: Job, corpus: corpora.Corpus, python: Path, work: Path, repeats: int, threads: int) -> dict:
    """Run both sides in turn, the one that begins changing each time."""
    sides = {
        "peer": lambda run: job.run_peer(python, corpus, run, threads),
        "ours": lambda run: run_ours(job, corpus, run, threads),
    }
    runs: dict[str, list[dict]] = {"peer": [], "ours": []}
    for repeat in range(repeats):
        for side in ("peer", "ours") if repeat % 2 == 0 else ("ours", "peer"):
            load = os.getloadavg()[0]
            result = sides[side](work / f"{side}-{repeat}") | {"load_before": load}
            runs[side].append(result)
            rate = result["target_tokens_per_second"]
            print(f"{work.name} {side} {repeat}: {rate:.0f} tokens/s", flush=True)
    return {"peer_name": job.peer, "target_tokens_per_epoch": corpus.target_tokens, **runs}


def report(results: dict[str, dict]) -> str:
    lines = [f"{'':18} {'':17} {'target tokens/s':>16} {'s/epoch':>15} {'ratio':>6}", HEADER]
    for name, result in results.items():
        rates = {side: [run["target_tokens_per_second"] for run in result[side]] for side in ("peer", "ours")}
        peer, ours = median(rates["peer"]), median(rates["ours"])
        ratios = [mine / theirs for theirs, mine in zip(rates["peer"], rates["ours"], strict=True)]
        peer_name = f"{result['peer_name']} {result['peer'][0]['versions'][result['peer_name']]}"
        epoch = result["target_tokens_per_epoch"]
        lines.append(
            f"{name:18} {peer_name:17} {peer:8.0f} {ours:7.0f} {epoch / peer:7.1f} {epoch / ours:7.1f} "
            f"{ours / peer:6.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training throughput beside the peers'.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds multi30k/ and g2p/")
    parser.add_argument("--envs", type=Path, required=True, help="directory of the peers' environments")
    parser.add_argument("--work", type=Path, required=True, help="directory for prepared data and runs")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    results = {}
    for name in arguments.jobs:
        job = JOBS[name]
        corpus = job.corpus(arguments.data, arguments.work)
        python = peers.environment(job.peer, arguments.envs)
        results[name] = measure(job, corpus, python, arguments.work / name, arguments.repeats, arguments.threads)
    print(report(results))
    path = HERE / "results" / "training_throughput.json"
    path.parent.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    document = {"threads": arguments.threads, "machine": machine, "jobs": results}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
