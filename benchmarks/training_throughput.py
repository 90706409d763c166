"""Training throughput beside the peers': both sides in turn in one run, on identical tokens and equally many
threads.

    python benchmarks/training_throughput.py --data DIR --envs DIR --work DIR [--repeats 3] [--jobs ...]

--data holds multi30k/ and g2p/; --envs the peers' environments, made on first use and always as pinned (see
`peers.py`); --work takes the prepared data and the runs. Prints a table and writes
`benchmarks/results/training_throughput.json`, every single run and its settings among it. Needs the machine
for itself: two threads that share a core with anything else wait for each other.

A token is a real target token: a piece or phone, or the one EOS of a line; neither BOS nor padding. Each
side makes its batches in its own way, and time is that of training alone, loading a batch included,
validation and saving not. How a peer is set up and timed is said in `joeynmt_run.py` and `yoyodyne_run.py`;
ours in `attentio_run.py`. The table has the median of the repeats, and the ratio of ours to the peer's median with
the smallest and largest ratio of a single repeat.

| job | peer | updates thrown away + timed: peer | ours |
|---|---|---|---|
| multi30k-bahdanau, multi30k-luong | JoeyNMT, batches of 2,048 tokens | 10 + 30 | 10 + 30 |
| korean-g2p | yoyodyne, batches of 64 words | 1 + 3 epochs of 57 | 57 + 171 |
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import attentio_run
import corpora
import joeynmt_run
import peers
import yoyodyne_run

HERE = Path(__file__).parent
MULTI30K_UPDATES = 30
KOREAN_EPOCHS = 3
KOREAN_EPOCH_UPDATES = 57
HEADER = f"{'':28} {'peer':15} {'peer':>6} {'ours':>6} {'peer':>9} {'ours':>6} {'ratio':>6} (of single repeats)"


class Job(NamedTuple):
    """One row of the table.

    corpus: (data, work) -> the prepared corpus.
    run_peer: (interpreter, corpus, run folder, threads) -> the peer's result.
    configs: ours, in configs/, each compared with the peer.
    warm_up, updates: thrown away, and timed, of ours. log_every: divides both.
    """

    peer: str
    corpus: Callable[[Path, Path], corpora.Corpus]
    run_peer: Callable[[Path, corpora.Corpus, Path, int], dict]
    configs: tuple[str, ...]
    warm_up: int
    updates: int
    log_every: int


def multi30k_job(attention: str, *configs: str) -> Job:
    def run_peer(python: Path, corpus: corpora.Corpus, run: Path, threads: int) -> dict:
        return joeynmt_run.train(
            python=python,
            corpus=corpus.folder,
            run=run,
            model=attention,
            updates=MULTI30K_UPDATES,
            threads=threads,
        )

    return Job(
        peer="joeynmt",
        corpus=corpora.multi30k,
        run_peer=run_peer,
        configs=configs,
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
        configs=("korean_g2p",),
        warm_up=KOREAN_EPOCH_UPDATES,
        updates=KOREAN_EPOCHS * KOREAN_EPOCH_UPDATES,
        log_every=KOREAN_EPOCH_UPDATES,
    )


JOBS = {
    "multi30k-bahdanau": multi30k_job("bahdanau", "multi30k_bahdanau", "multi30k_rnnsearch"),
    "multi30k-luong": multi30k_job("luong", "multi30k_luong", "multi30k_luong_all_at_once"),
    "korean-g2p": korean_job(),
}


def run_ours(job: Job, name: str, corpus: corpora.Corpus, run: Path, threads: int) -> dict:
    return attentio_run.train(
        config=name,
        data={"--data.train": corpus.train, "--data.dev": corpus.dev},
        run=run,
        warm_up=job.warm_up,
        updates=job.updates,
        log_every=job.log_every,
        threads=threads,
    )


def measure(job: Job, corpus: corpora.Corpus, python: Path, work: Path, repeats: int, threads: int) -> dict:
    """Run the peer and ours in turn, the one that begins changing each time."""
    sides: dict[str, Callable[[Path], dict]] = {job.peer: lambda run: job.run_peer(python, corpus, run, threads)}
    for config in job.configs:
        sides[config] = partial(run_ours, job, config, corpus, threads=threads)
    runs: dict[str, list[dict]] = {side: [] for side in sides}
    for repeat in range(repeats):
        for side in list(sides) if repeat % 2 == 0 else list(sides)[::-1]:
            load = os.getloadavg()[0]
            result = sides[side](work / f"{side}-{repeat}") | {"load_before": load}
            runs[side].append(result)
            rate = result["target_tokens_per_second"]
            print(f"{work.name} {side} {repeat}: {rate:.0f} tokens/s", flush=True)
    return {"peer": job.peer, "target_tokens_per_epoch": corpus.target_tokens, "runs": runs}


def report(results: dict[str, dict]) -> str:
    lines = [f"{'ours':28} {'target tokens/s':>22} {'seconds an epoch':>18}", HEADER]
    for result in results.values():
        rates = {side: [run["target_tokens_per_second"] for run in runs] for side, runs in result["runs"].items()}
        peer, epoch = result["peer"], result["target_tokens_per_epoch"]
        version = result["runs"][peer][0]["versions"][peer]
        for config in [side for side in rates if side != peer]:
            theirs, mine = median(rates[peer]), median(rates[config])
            ratios = [ours / other for other, ours in zip(rates[peer], rates[config], strict=True)]
            lines.append(
                f"{config:28} {peer + ' ' + version:15} {theirs:6.0f} {mine:6.0f} "
                f"{epoch / theirs:9.1f} {epoch / mine:6.1f} "
                f"{mine / theirs:6.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
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
    text = json.dumps(document, indent=2).replace(str(arguments.work), "WORK")  # no path of this machine
    path.write_text(text + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
