"""How much memory a training takes whose pairs are many: made by a rule, trained on in a process of its own.

    python benchmarks/large_corpus.py --pairs 2000000 --folder /var/tmp/large

Writes a table of the child's memory as the system tells it at its most: what it holds itself, and what of files is
mapped, which the system takes back where memory is short.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

STEPS = 200
WORDS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="some gigabytes are written there")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    data = arguments.folder / f"pairs-{arguments.pairs}.tsv"
    if not data.exists():
        _write(data, arguments.pairs)
    run = arguments.folder / f"run-{arguments.pairs}"
    results = [{"start": start, **_train(data, run)} for start in ("anew", "again")]
    print(json.dumps({"pairs": arguments.pairs, "megabytes": data.stat().st_size >> 20, "starts": results}, indent=1))


def _write(path: Path, count: int) -> None:
    """Three to twelve numbered words, and the same backwards."""
    draw = random.Random(1)
    words = [f"w{number}" for number in range(WORDS)]
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        for _ in range(count):
            some = draw.choices(words, k=draw.randint(3, 12))
            file.write(f"{' '.join(some)}\t{' '.join(reversed(some))}\n")
    beside.rename(path)


def _train(data: Path, run: Path) -> dict[str, float]:
    """Some updates of a small model; what it took. Where the run is there already, so many more."""
    steps = STEPS * (1 + run.exists())
    options = {
        "data.train": data,
        "data.dev": "null",
        "data.test": "null",
        "text.shared": "true",
        "text.source.tokenizer": "whitespace",
        "model.embedding": 32,
        "model.hidden": 32,
        "model.input_feeding": "false",
        "training.max_steps": steps,
        "training.validate_every": STEPS,
        "training.validation_size": 10,
        "training.samples": 0,
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "attentio", "train", "luong", "--run", str(run), *words])
    most = {"VmRSS": 0, "RssAnon": 0, "RssFile": 0}
    while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
        time.sleep(0.1)
        try:
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
        except OSError:
            continue
        for line in status.splitlines():
            name, _, value = line.partition(":")
            if name in most:
                most[name] = max(most[name], int(value.split()[0]))
    child.returncode = os.waitstatus_to_exitcode(ended[1])
    if child.returncode:
        raise SystemExit(f"the training ended with {child.returncode}")
    return {
        "peak_resident_megabytes": ended[2].ru_maxrss / 1024,
        "own_megabytes": most["RssAnon"] / 1024,
        "mapped_megabytes": most["RssFile"] / 1024,
        "seconds": time.monotonic() - began,
    }


if __name__ == "__main__":
    main()
