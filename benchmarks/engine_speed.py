"""The engines of `attend` beside their peers, one problem after the other, float32 on the CPU.

    python benchmarks/engine_speed.py [--groups additive structured dense] [--repeats 9] [--threads 2]

For each problem ours and the peers run in turn, `repeats` times each after a warm-up; the table holds medians and the
ratio of the medians, beside what it is meant to be; "of products" is the share of our time that the unavoidable
matrix products would take at the best rate of a large square one (`product_limit.py`). Backward means forward and
backward. Peers that are not installed are left out with a word
(Keras: `pip install keras`); torch.compile and FlexAttention need a C++ compiler. Then the memory of additive attention
and the scaling of window attention, each measured in a process of its own. Prints tables and writes
`benchmarks/results/engine_speed.json`, which `engine_plots.py` draws.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import product_limit
import torch
from engine_cases import additive, dense, structured
from engine_cases.case import Case, Run

HERE = Path(__file__).parent
GROUPS = {"additive": additive, "structured": structured, "dense": dense}
SECONDS_OF_EACH = 0.02
"""A measurement repeats a call until it has lasted so long."""


def seconds(run: Run, calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - began) / calls


def measure(case: Case, repeats: int) -> dict:
    runs: dict[str, Run] = {"attentio": case.ours()}
    absent = {}
    for peer, make_ready in case.peers.items():
        try:
            runs[peer] = make_ready()
        except ImportError as error:
            absent[peer] = str(error)
    calls = {}
    for name, run in runs.items():
        run()
        calls[name] = max(1, int(SECONDS_OF_EACH / seconds(run, 1)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(1000 * seconds(run, calls[name]))
    medians = {name: statistics.median(each) for name, each in times.items()}
    return {
        "name": case.name,
        "backward": case.backward,
        "milliseconds": times,
        "medians": medians,
        "ratios": {peer: medians[peer] / medians["attentio"] for peer in runs if peer != "attentio"},
        "targets": case.targets,
        "absent": absent,
        "products": case.products,
        "tanhs": case.tanhs,
    }


def share(result: dict, rate: float) -> str:
    """How near ours is to the machine's limit."""
    seconds_ours = result["medians"]["attentio"] / 1000
    if result["tanhs"]:
        return f"{1e9 * seconds_ours / result['tanhs']:.2f} ns a tanh"
    return f"{result['products'] / (1e9 * rate) / seconds_ours:.0%} of products"


def table(results: list[dict], rate: float) -> str:
    lines = [f"{'':61} {'':8} {'ms':>9}  {'':>16}  peers: ms, times ours (target)"]
    for result in results:
        peers = ", ".join(
            f"{peer} {result['medians'][peer]:.2f}, {ratio:.2f} ({result['targets'].get(peer, '-')})"
            for peer, ratio in result["ratios"].items()
        )
        way = "backward" if result["backward"] else "forward"
        lines.append(
            f"{result['name']:61} {way:8} {result['medians']['attentio']:9.3f}  {share(result, rate):>16}  {peers}"
        )
        lines += [f"{'':61} without {peer}: {why}" for peer, why in result["absent"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="The engines of attend beside their peers.")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    path = HERE / "results" / "engine_speed.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"groups": {}}
    document["machine"] = {"machine": platform.machine(), "cpus": os.cpu_count(), "torch": torch.__version__}
    document["threads"] = arguments.threads
    log = HERE / "results" / "product_limit.log"
    rate = document["product_rate"] = max(product_limit.rates(arguments.threads, log).values())
    log.unlink()
    for group in arguments.groups:
        module = GROUPS[group]
        results = [measure(case, arguments.repeats) for case in module.cases()]
        extras: dict[str, Callable[[int], dict]] = getattr(module, "EXTRAS", {})
        document["groups"][group] = {
            "cases": results,
            "extras": {name: extra(arguments.threads) for name, extra in extras.items()},
        }
        print(table(results, rate), flush=True)
        print(json.dumps(document["groups"][group]["extras"]), flush=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
