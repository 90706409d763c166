"""How much sooner presets are trained in mixed precision: `--training.precision bf16-mixed` beside `32-true`.

    python benchmarks/mixed_precision.py --data DIR --work DIR [--presets ..] [--repeats 3] [--updates 60]

Each preset on the data that docs/leaderboard.md trains it on (files of --data: g2p/fre_*.tsv, multi30k/, text/), one
thread, both precisions in turn. 20 updates are thrown away, the next ones timed. It needs the machine for itself, and a
processor with instructions for bfloat16: on another, both are 32 bits. Prints a table of medians, writes
`benchmarks/results/mixed_precision.json`.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from statistics import median

import attentio_run
import torch

from attentio.layers.bfloat16 import multiplies_bfloat16

HERE = Path(__file__).parent
PRECISIONS = ("32-true", "bf16-mixed")
WARM_UP = 20
BPE = {"--text.source.tokenizer": "bpe", "--text.source.vocab_size": "8000"}
UNIGRAM = BPE | {"--text.source.tokenizer": "unigram"}


def options(data: Path) -> dict[str, dict[str, str]]:
    """What each preset is trained on."""
    words, text = data / "g2p", data / "text"

    def sentences(part: str) -> str:
        return ",".join(str(data / "multi30k" / f"{part}.lc.norm.tok.{language}.gz") for language in ("en", "de"))

    prose = {
        "--data.train": str(text / "war-and-peace.train.txt.gz"),
        "--data.dev": str(text / "war-and-peace.dev.txt"),
    }
    return {
        "g2p-transducer": {"--data.train": str(words / "fre_train.tsv"), "--data.dev": str(words / "fre_dev.tsv")},
        "multi30k-en-de": {"--data.train": sentences("train"), "--data.dev": sentences("val")},
        "causal-lm-modern": prose | BPE,
        "masked-lm-modern": prose | UNIGRAM,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Training in mixed precision beside 32 bits, as presets are.")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds g2p/, multi30k/ and text/")
    parser.add_argument("--work", type=Path, required=True, help="directory for the runs")
    parser.add_argument("--presets", nargs="+", choices=options(Path()), default=list(options(Path())))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=60)
    arguments = parser.parse_args()
    results = {}
    for preset in arguments.presets:
        rates: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for _ in range(arguments.repeats):
            for precision, measured in rates.items():
                result = attentio_run.train(
                    config=preset,
                    data=options(arguments.data)[preset]
                    | {"--training.precision": precision, "--training.warmup": str(WARM_UP)},
                    run=arguments.work / preset / precision,
                    warm_up=WARM_UP,
                    updates=arguments.updates,
                    log_every=WARM_UP,
                    threads=1,
                )
                measured.append(result["target_tokens_per_second"])
        plain, mixed = (median(rates[precision]) for precision in PRECISIONS)
        results[preset] = {"target_tokens_per_second": rates, "ratio": mixed / plain}
        print(f"{preset:20} {plain:8,.0f} {mixed:8,.0f} tokens/s {mixed / plain:6.2f} times", flush=True)
    path = HERE / "results" / "mixed_precision.json"
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "torch": torch.__version__}
    machine["bfloat16"] = multiplies_bfloat16()
    path.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
