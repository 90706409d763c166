"""What capture costs in time and memory, beside transformers' `output_attentions=True`.

    python benchmarks/capture_cost.py [--tokens 512 2048 4096] [--repeats 5] [--threads 2] [--work DIR]

One model of BERT-base's size (12 layers, 12 heads, 768 wide, random weights, in evaluation without gradients) reads one
sequence. Rows:

    sdpa                    the model as it is; nothing is kept
    output_attentions       eager attention, all weights returned, in float32
    capture                 sdpa, all weights in memory, in float16
    capture, top 16         sdpa, the 16 largest weights of each query
    capture, to disk        sdpa, all weights written to a new directory

Each measurement runs in a fresh process: a first run on 64 tokens is thrown away, then the most memory that the process
ever had is forgotten ("5" written to /proc/self/clear_refs), and one run is timed. Memory is the greatest resident
set during that run, less the one just before it (the model and libraries). Kinds of row alternate; the median of the
repeats is shown, with all of them in the JSON. Needs Linux. It needs the machine for itself, and for 4,096 tokens in
memory 13 GB. Prints a table, writes `benchmarks/results/capture_cost.json`.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch

ROWS = ("sdpa", "output_attentions", "capture", "capture, top 16", "capture, to disk")


def build(row: str, tokens: int, layers: int, width: int) -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=4 * width,
        max_position_embeddings=max(tokens, 64),
        attn_implementation="eager" if row == "output_attentions" else "sdpa",  # type: ignore[call-arg]
    )
    return BertModel(config, add_pooling_layer=False).eval()


def run(row: str, model: Any, ids: torch.Tensor, directory: Path) -> int:
    """Runs the model once; returns how many weights are at hand afterwards."""
    import attentio as at

    capturing: Any = {
        "capture": lambda: at.capture(model),
        "capture, top 16": lambda: at.capture(model, top_k=16),
        "capture, to disk": lambda: at.capture(model, directory=directory),
    }.get(row, nullcontext)
    with torch.no_grad(), capturing() as seen:
        out = model(ids, output_attentions=row == "output_attentions")
    kept = out.attentions if seen is None else [one.weights for one in seen]
    return sum(weights.numel() for weights in kept or ())


def resident(field: str) -> float:
    """A line of /proc/self/status, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def measure(row: str, tokens: int, layers: int, width: int, work: Path) -> dict[str, float]:
    model = build(row, tokens, layers, width)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        run(row, model, torch.randint(1000, (1, 64)), Path(directory) / "first")
        ids = torch.randint(1000, (1, tokens))
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        began = time.perf_counter()
        weights = run(row, model, ids, Path(directory) / "seen")
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "mebibytes": resident("VmHWM") - before, "weights": weights}


def measure_in_a_process(row: str, tokens: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", row, "--tokens", str(tokens), "--threads", str(options.threads)]
    command += ["--layers", str(options.layers), "--width", str(options.width), "--work", str(options.work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{row} at {tokens} tokens failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| tokens | | seconds | beside sdpa | MiB above the model |", "|---|---|---|---|---|"]
    for one in results:
        base = next(r for r in results if r["tokens"] == one["tokens"] and r["row"] == "sdpa")
        lines.append(
            f"| {one['tokens']:,} | {one['row']} | {one['seconds']:.2f} | {one['seconds'] / base['seconds']:.2f} "
            f"| {one['mebibytes']:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048, 4096])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="a disk, not memory")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "capture_cost.json")
    parser.add_argument("--one", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(options.one, options.tokens[0], options.layers, options.width, options.work)))
        return
    results = []
    for tokens in options.tokens:
        runs: dict[str, list[dict[str, float]]] = {row: [] for row in ROWS}
        for _ in range(options.repeats):
            for row in ROWS:
                runs[row].append(measure_in_a_process(row, tokens, options))
        for row, measured in runs.items():
            middle = {name: median(one[name] for one in measured) for name in ("seconds", "mebibytes", "weights")}
            results.append({"tokens": tokens, "row": row, **middle, "runs": measured})
    print(table(results))
    about = {"model": f"BERT, {options.layers} layers, 12 heads, {options.width} wide", "threads": options.threads}
    about |= {"torch": torch.__version__, "python": platform.python_version(), "processor": platform.processor()}
    options.out.write_text(json.dumps({**about, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
