"""python tests/fuzz [--inputs N] [--seconds S] [--seed N]: hostile inputs by the thousand, and what is wrong with what
comes of them. Each input is a function of its seed; `--seed N --inputs 1` makes that one again and shows it whole."""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

os.environ["OMP_NUM_THREADS"] = "1"  # a fork has no other threads
os.environ["LANGUAGE"] = "en"  # in which errors are known
sys.path.append(str(Path(__file__).parents[1]))

from fuzz_child import Case, Outcome, run
from fuzz_inputs import Inputs, make_base, seeds
from warm_start import load_everything


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    given = parser.parse_args()
    print(f"first seed = {given.seed}", flush=True)
    load_everything()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        return fuzz(Path(name), given.inputs, given.seconds, given.seed)


def fuzz(place: Path, most: int, seconds: float, first: int) -> int:
    """Returns the exit code: 1 for any finding."""
    base, box, streams = (place / name for name in ("base", "box", "streams"))
    base.mkdir()
    streams.mkdir()

    def soundly(case: Case, folder: Path) -> Outcome:
        outcome = run(case, folder, streams)
        assert outcome.code == 0, (case, outcome)
        return outcome

    make_base(base, soundly)
    known: dict[tuple[str, ...], bytes] = {}

    def baseline(name: str, words: list[str], given: bytes) -> bytes:
        key = (name, *words)
        if key not in known:
            on = [name if word == "run" else word for word in words]
            known[key] = soundly(Case("base", name, on, given), base).out
        return known[key]

    inputs, began = Inputs(base, baseline), time.monotonic()
    tried: Counter[str] = Counter()
    ended: Counter[int] = Counter()
    found: Counter[str] = Counter()
    for seed in seeds(first):
        if sum(tried.values()) >= most or time.monotonic() - began > seconds:
            break
        shutil.rmtree(box, ignore_errors=True)
        box.mkdir()
        case = inputs.make(Random(seed), box)
        outcome = run(case, box, streams)
        tried[case.kind] += 1
        ended[outcome.code] += 1
        for finding in outcome.findings:
            found[finding.partition(":")[0]] += 1
            print(f"seed {seed}: {finding}: {case.kind}: {case.note}\n    {case.words!r:.300}", flush=True)
            print("".join(f"    {line[:300]}\n" for line in outcome.err.splitlines()[-6:]), flush=True)
        if most == 1:
            print(case, outcome, sep="\n")
    print(f"{sum(tried.values()):,} inputs, {dict(tried)}, exit codes {dict(ended)}: {dict(found) or 'nothing found'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
