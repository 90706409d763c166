"""attentio compare FILE_OR_PRESETS ... [--out DIR] [--key.sub value ...]: several variants, equal budget, one table."""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from attentio.commands.config import keys_of, load_config, to_yaml
from attentio.commands.options import Config
from attentio.commands.uses import without_use
from attentio.errors import AttentioError

HELP = "train several variants with the same budget and put them in one table"
TAKES_OVERRIDES = True

BUDGET = ("max_steps", "batch_tokens", "accumulate")


class Outcome(NamedTuple):
    """What one variant reached. peak_megabytes: most memory its training process held."""

    variant: str
    scores: dict[str, float]
    by_source_length: list[dict[str, Any]]
    parameters: int
    target_tokens_per_second: float
    peak_megabytes: float
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A FILE holds `base: PRESET_OR_YAML` and `variants: {NAME: {model.attention: luong, ..}, ..}`.\n"
        "--key.sub value applies to every variant. The same command again goes on where it stopped."
    )
    parser.add_argument("variants", nargs="+", metavar="FILE_OR_PRESET", help="a file of variants, or presets")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"), metavar="DIR", help="where to write")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    variants = _variants(arguments.variants, overrides)
    if len({config.model.type for config in variants.values()}) > 1:
        raise AttentioError("the variants differ in model.type, and so in what is measured; compare those of one type")
    budgets = {tuple(getattr(config.training, key) for key in BUDGET) for config in variants.values()}
    if len(budgets) > 1:
        raise AttentioError(
            f"the variants differ in training.{', training.'.join(BUDGET)}; give them one budget, "
            f"for instance with --training.max_steps N"
        )
    console = Console(emoji=False, highlight=False)
    folder: Path = arguments.out
    outcomes = []
    for number, (name, config) in enumerate(variants.items(), start=1):
        console.rule(f"{name} ({number} of {len(variants)})")
        outcomes.append(_train_and_measure(name, config, folder / name))
    written = _write(folder, outcomes)
    console.print(_table(outcomes))
    console.print(f"wrote {', '.join(map(str, written))}", soft_wrap=True)
    return 0


def _variants(given: Sequence[str], overrides: Sequence[str]) -> dict[str, Config]:
    """The configuration of each variant by its name."""
    configs: dict[str, Config] = {}
    for one in given:
        content = _variants_file(Path(one)) if Path(one).is_file() else None
        if content is None:
            content = {"base": one, "variants": {Path(one).stem: {}}}
        for name, changes in content["variants"].items():
            if str(name) in configs:
                raise AttentioError(f"{one}: a second variant called {name!r}; give each a name of its own")
            if not isinstance(changes or {}, dict):
                raise AttentioError(f"{one}: variant {name!r} must hold changes such as model.attention: luong")
            options = [f"--{key}={'null' if value is None else value}" for key, value in (changes or {}).items()]
            configs[str(name)] = load_config(str(content["base"]), options, shared=overrides)
    for key in keys_of(overrides):
        idle = [without_use(config, [key]) for config in configs.values()]
        if idle and all(idle):
            raise AttentioError(f"of no variant: {idle[0]}")
    return configs


def _variants_file(path: Path) -> dict[str, Any] | None:
    """The content of a file of variants; None for the configuration of a single run."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AttentioError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or "variants" not in content:
        return None
    if set(content) != {"base", "variants"} or not isinstance(content["variants"], dict):
        raise AttentioError(f"{path} must hold `base` (a preset or file) and `variants` (name: changes), nothing else")
    return content


def _train_and_measure(name: str, config: Config, folder: Path) -> Outcome:
    """Train and evaluate one variant, each in a process of its own, so that peak memory is the variant's."""
    memory = folder / "memory.json"
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "variant.yaml"
    asked.write_text(to_yaml(config), encoding="utf-8")
    attentio = [sys.executable, "-m", "attentio.commands.main"]
    peak = _run([*attentio, "train", str(asked), "--run", str(folder)])
    known = json.loads(memory.read_text()) if memory.exists() else 0.0
    memory.write_text(json.dumps(max(known, peak)))
    _run([*attentio, "evaluate", str(folder)])
    report = json.loads((folder / "evaluation" / "scores.json").read_text())
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return Outcome(
        variant=name,
        scores={one["name"]: one["value"] for one in report["scores"]},
        by_source_length=report["by_source_length"],
        parameters=report["parameters"],
        target_tokens_per_second=statistics.median(float(row["target_tokens_per_second"]) for row in rows),
        peak_megabytes=max(known, peak),
        seconds=float(rows[-1]["seconds"]),
    )


def _run(command: list[str]) -> float:
    """Run a command to its end; returns the most memory it held, in MB. Leaves with its exit code if it fails."""
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise SystemExit(code if code > 0 else 128 - code)
    return usage.ru_maxrss / 1024


def _cells(outcome: Outcome) -> list[str]:
    return [
        outcome.variant,
        *(f"{value:.2f}" for value in outcome.scores.values()),
        f"{outcome.target_tokens_per_second:,.0f}",
        f"{outcome.seconds / 60:.1f}",
        f"{outcome.peak_megabytes:,.0f}",
        f"{outcome.parameters:,}",
    ]


def _headings(outcomes: Sequence[Outcome]) -> list[str]:
    return ["variant", *outcomes[0].scores, "training tokens/s", "minutes", "peak MB", "parameters"]


def _table(outcomes: Sequence[Outcome]) -> Any:
    from rich.table import Table

    table = Table()
    for number, heading in enumerate(_headings(outcomes)):
        table.add_column(heading, justify="right" if number else "left", no_wrap=number == 0)
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    return table


def _write(folder: Path, outcomes: Sequence[Outcome]) -> list[Path]:
    """The table as JSON and Markdown, and one or two pictures."""
    from attentio.evaluation.by_length import LengthBin
    from attentio.evaluation.metrics import Score
    from attentio.inspection.curves import save_comparison, save_quality_by_length

    as_json, as_markdown = folder / "compare.json", folder / "compare.md"
    as_json.write_text(json.dumps([outcome._asdict() for outcome in outcomes], indent=1, ensure_ascii=False) + "\n")
    headings = _headings(outcomes)
    lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *map(_cells, outcomes)]
    as_markdown.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    metric = next(iter(outcomes[0].scores))
    bins = {
        outcome.variant: [LengthBin(**{**each, "score": Score(**each["score"])}) for each in outcome.by_source_length]
        for outcome in outcomes
    }
    rows = [(one.variant, one.scores[metric], one.target_tokens_per_second) for one in outcomes]
    written = [as_json, as_markdown, save_comparison(folder / "compare.png", rows, quality=metric)]
    if any(bins.values()):  # not of language models
        written.append(save_quality_by_length(folder / "by-length.png", bins))
    return written
