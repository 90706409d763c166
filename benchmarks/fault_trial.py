"""Kill a training run over and over, resume it each time, and compare it with an undisturbed one bit for bit.

    python benchmarks/fault_trial.py [--kills 50] [--seed N] [--steps 2500] [--keep DIR]

The run is a small one that uses all that has to be resumed: dropout, an averaged model, accumulated batches, a
learning rate that falls, validations and a checkpoint every 20 steps. First it is trained undisturbed. Then the
same command is started in another directory and killed again and again, each time at a random moment after its
first logged step: 7 of 10 times by SIGKILL, else by SIGTERM or SIGINT. Half of the SIGKILLs wait for a
checkpoint's first file and strike up to 10 ms later, while it is being written, renamed or named. At last the
run may finish.

The two must then agree in every tensor (SHA-256 of its bytes) of the files of the checkpoints `best` and `last`,
random state and optimizer included, in which steps these are, and in every row of `metrics.csv` but for its
times. Prints a line a kill, writes `benchmarks/results/fault_trial.json`, and exits with 1 if anything differs.
"""

import argparse
import csv
import hashlib
import json
import os
import platform
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from attentio.training.checkpoint import Checkpoints

HERE = Path(__file__).parent
EXIT_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
OPTIONS = {
    "model.embedding": 16,
    "model.hidden": 32,
    "model.dropout": 0.2,
    "training.batch_tokens": 128,
    "training.accumulate": 2,
    "training.average": 0.99,
    "training.validate_every": 150,
    "training.validation_size": 20,
    "training.checkpoint_every": 20,
    "training.log_every": 10,
}


class Kill(NamedTuple):
    """One kill. resumed_from, saved: the step of the last checkpoint before the process and after its end.
    during_save: it left a half-written checkpoint behind."""

    signal: str
    resumed_from: int
    saved: int
    during_save: bool
    seconds_of_training: float


def write_pairs(path: Path, count: int, draw: random.Random) -> None:
    """Words and their reverse."""
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            word = "".join(draw.choices("abcdefgh", k=draw.randint(2, 8)))
            file.write(f"{word}\t{word[::-1]}\n")


def command(data: Path, run: Path, steps: int) -> list[str]:
    options = OPTIONS | {
        "data.train": data / "train.tsv",
        "data.dev": data / "dev.tsv",
        "data.test": "null",
        "training.max_steps": steps,
    }
    overrides = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return [sys.executable, "-m", "attentio.commands.main", "train", "luong", "--run", str(run), *overrides]


def finish(order: list[str]) -> None:
    done = subprocess.run(order, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training failed:\n{done.stderr}")


def last_step(run: Path) -> int:
    """The step that the last checkpoint holds; 0 for none."""
    checkpoints = Checkpoints(run)
    return checkpoints.load("last").facts["step"] if checkpoints.exists() else 0


def half_written(run: Path) -> list[Path]:
    return list((run / "checkpoints").glob(".saving-*"))


def kill_once(order: list[str], run: Path, number: signal.Signals, in_save: bool, delay: float) -> Kill:
    """Start the command, let it train for a moment, and send it the signal."""
    resumed_from = last_step(run)
    environment = {**os.environ, "LANGUAGE": "en"}
    with subprocess.Popen(order, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("step "):
                break
        started = time.perf_counter()
        if not in_save:
            time.sleep(delay)
        else:
            while not half_written(run) and process.poll() is None:
                pass
            time.sleep(delay / 50)
        process.send_signal(number)
        seconds = time.perf_counter() - started
        said.append(process.stderr.read())
        code = process.wait()
    if code != EXIT_CODES[number]:
        raise SystemExit(f"exit code {code} after {number.name}; finished too early?\n{''.join(said)}")
    return Kill(number.name, resumed_from, last_step(run), bool(half_written(run)), round(seconds, 3))


def fingerprint(run: Path) -> dict[str, str]:
    """All that the two runs must have in common, each as a hash or a plain value."""
    prints = {}
    for which in ("best", "last"):
        saved = Checkpoints(run).load(which, "model.safetensors", "training.safetensors")
        prints[which] = saved.path.name
        for name, tensors in saved.tensors.items():
            for key, tensor in tensors.items():
                prints[f"{which}/{name}/{key}"] = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
    with (run / "metrics.csv").open(newline="") as file:
        rows = [[value for key, value in row.items() if "second" not in key] for row in csv.DictReader(file)]
    prints["rows of metrics.csv"] = str(len(rows))
    prints["metrics.csv"] = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return prints


def trial(folder: Path, kills: int, steps: int, seed: int) -> dict:
    draw = random.Random(seed)
    write_pairs(folder / "train.tsv", 2000, draw)
    write_pairs(folder / "dev.tsv", 50, draw)
    began = time.perf_counter()
    finish(command(folder, folder / "undisturbed", steps))
    print(f"undisturbed: {steps} steps in {time.perf_counter() - began:.0f} s")
    order = command(folder, folder / "killed", steps)
    done = []
    for count in range(1, kills + 1):
        number = draw.choices((signal.SIGKILL, signal.SIGTERM, signal.SIGINT), weights=(70, 15, 15))[0]
        in_save = number is signal.SIGKILL and draw.random() < 0.5
        kill = kill_once(order, folder / "killed", number, in_save, draw.uniform(0, 0.5))
        done.append(kill)
        where = ", in the middle of a save" if kill.during_save else ""
        print(f"{count:3} {kill.signal:7} from step {kill.resumed_from:5}, saved at {kill.saved:5}{where}", flush=True)
    finish(order)
    expected, found = fingerprint(folder / "undisturbed"), fingerprint(folder / "killed")
    different = sorted(key for key in expected | found if expected.get(key) != found.get(key))
    return {
        "seed": seed,
        "steps": steps,
        "options": OPTIONS,
        "seconds": round(time.perf_counter() - began, 1),
        "kills": [kill._asdict() for kill in done],
        "by_signal": {each.name: sum(kill.signal == each.name for kill in done) for each in EXIT_CODES},
        "in_the_middle_of_a_save": sum(kill.during_save for kill in done),
        "compared": len(expected),
        "different": different,
        "fingerprint": {key: expected[key] for key in expected if "/" not in key or key.startswith("last/model")},
        "machine": {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill and resume a training run over and over.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=None, help="of the pairs and the moments (default: drawn)")
    parser.add_argument("--keep", type=Path, help="leave both runs there")
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    print(f"seed {seed}")
    folder = arguments.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = trial(folder, arguments.kills, arguments.steps, seed)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)
    path = HERE / "results" / "fault_trial.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    said = f"{len(result['different'])} of {result['compared']} things differ" if result["different"] else "all equal"
    print(
        f"{len(result['kills'])} kills ({result['by_signal']}), {result['in_the_middle_of_a_save']} of them in the "
        f"middle of a save: {said}; {result['seconds']:.0f} s; written to {path}"
    )
    return 1 if result["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
