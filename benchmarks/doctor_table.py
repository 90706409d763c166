"""The doctor's record: which mistakes it catches, how often it is wrong about healthy models, how long it takes.

    python benchmarks/doctor_table.py [--repeats 3]

Every model of tests/doctor/zoo (one per mistake), the healthy ones beside them, and the architectures of
transformers in tests/doctor/huggingface_zoo.py, with new random weights and inputs each time. A mistake is caught
if its check finds it. A false alarm is an error or a warning on a healthy model. Writes results/doctor_table.json.
"""

import argparse
import json
import secrets
import statistics
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

import attentio as at
from attentio.doctor.catalogue import CHECKS
from attentio.doctor.diagnosis import Diagnosis

TESTS = Path(__file__).parents[1] / "tests" / "doctor"
RESULT = Path(__file__).parent / "results" / "doctor_table.json"
IDS = [check.ID for check in CHECKS]


class Specimen(NamedTuple):
    """A model of the zoo. check: the one that its mistake belongs to; None: healthy."""

    name: str
    check: str | None
    build: Callable[[], Any]


class Row(NamedTuple):
    """What is told of a check.

    examinations: of models with its mistake. caught: how often it was found, by severity. misjudged: how often an error
    of another check was found besides. milliseconds: median over the healthy models in which it could be made.
    """

    check: str
    models: int
    examinations: int
    caught: dict[str, int]
    misjudged: int
    healthy: int
    false_alarms: int
    milliseconds: float | None


def specimens() -> Iterator[Specimen]:
    sys.path[:0] = [str(TESTS), str(TESTS / "zoo")]
    for path in sorted((TESTS / "zoo").glob("*.py")):
        for name, family in vars(import_module(path.stem)).items():
            check = name.lower().replace("_", "-")
            if isinstance(family, dict) and (check in IDS or check == "healthy"):
                for model, build in family.items():
                    yield Specimen(f"{path.stem} {model}", None if check == "healthy" else check, build)
    for name, build in import_module("huggingface_zoo").ARCHITECTURES.items():
        yield Specimen(f"transformers {name}", None, build)


def examine(specimen: Specimen) -> tuple[Diagnosis, float]:
    """The diagnosis and its seconds."""
    torch.manual_seed(secrets.randbelow(2**31))
    model, inputs, *options = specimen.build()
    began = time.perf_counter()
    return at.diagnose(model, inputs, **dict(*options)), time.perf_counter() - began


def rows(outcomes: list[tuple[Specimen, Diagnosis]]) -> list[Row]:
    healthy = [diagnosis for specimen, diagnosis in outcomes if specimen.check is None]
    alarms = Counter(check for diagnosis in healthy for check in _alarms(diagnosis))
    seconds = defaultdict(list)
    for diagnosis in healthy:
        for check, taken in diagnosis.checked.items():
            seconds[check].append(taken)
    table = []
    for check in IDS:
        mine = [(specimen.name, diagnosis) for specimen, diagnosis in outcomes if specimen.check == check]
        # Findings are sorted, the gravest first.
        found = [next((e.severity for e in diagnosis.findings if e.check == check), None) for _, diagnosis in mine]
        caught: dict[str, int] = dict(Counter(severity for severity in found if severity))
        others = [any(e.severity == "error" and e.check != check for e in diagnosis.findings) for _, diagnosis in mine]
        milliseconds = 1000 * statistics.median(seconds[check]) if seconds[check] else None
        models = len({name for name, _ in mine})
        table.append(Row(check, models, len(mine), caught, sum(others), len(healthy), alarms[check], milliseconds))
    return table


def _alarms(diagnosis: Diagnosis) -> set[str]:
    return {one.check for one in diagnosis.findings if one.severity != "note"}


def show(table: list[Row], seconds: float) -> None:
    console = Console(width=120)
    drawn = Table(title="The doctor's record")
    for heading in ("mistake", "models", "caught", "as", "other errors besides", "false alarms", "ms"):
        drawn.add_column(heading, justify="left" if heading in ("mistake", "as") else "right")
    for row in table:
        caught = f"{sum(row.caught.values())} / {row.examinations}"
        wrong = f"{row.false_alarms} / {row.healthy}"
        taken = "" if row.milliseconds is None else f"{row.milliseconds:.0f}"
        drawn.add_row(row.check, str(row.models), caught, ", ".join(row.caught), str(row.misjudged), wrong, taken)
    console.print(drawn)
    console.print(f"a whole examination of a healthy model: {seconds:.2f} s (median)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="examinations of each model, with new random weights")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    outcomes, seconds = [], []
    for specimen in list(specimens()) * arguments.repeats:
        diagnosis, taken = examine(specimen)
        outcomes.append((specimen, diagnosis))
        if specimen.check is None:
            seconds.append(taken)
            for check in _alarms(diagnosis):
                print(f"false alarm: {check} on {specimen.name}", file=sys.stderr)
        elif specimen.check not in {one.check for one in diagnosis.findings}:
            print(f"missed: {specimen.check} in {specimen.name}", file=sys.stderr)
    table = rows(outcomes)
    median = statistics.median(seconds)
    show(table, median)
    content = {
        "torch": torch.__version__,
        "threads": 1,
        "repeats": arguments.repeats,
        "healthy_models": sorted({specimen.name for specimen, _ in outcomes if specimen.check is None}),
        "seconds_of_a_healthy_examination": round(median, 3),
        "checks": [row._asdict() for row in table],
    }
    RESULT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
