"""attentio compare VARIANTS ... [--out DIR] [--key.sub value ...]: several variants, equal budget, one table."""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from attentio import system
from attentio.commands.words import said
from attentio.config.plain_yaml import read_yaml
from attentio.config.read import check_name, keys_of, load_config, to_yaml
from attentio.config.schema import Config, ModelConfig
from attentio.config.uses import without_use
from attentio.errors import AttentioError, extra

TAKES_OVERRIDES = True

BUDGET = ("max_steps", "batch_tokens", "accumulate")


class Outcome(NamedTuple):
    """What one variant reached.

    waits: whether each step of its training waits for the attention of the one before. peak_megabytes: most memory its
    training took; None where the system does not tell.
    """

    variant: str
    scores: dict[str, float]
    by_source_length: list[dict[str, Any]]
    parameters: int
    target_tokens_per_second: float
    waits: bool
    peak_megabytes: float | None
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A FILE holds `base: PRESET_OR_YAML` and `variants: {NAME: {model.attention: luong, ..}, ..}`.\n"
        f"Such files that come along, by name: {', '.join(_recipes())}.\n"
        "--key.sub value applies to every variant. The same command again resumes where it stopped."
    )
    parser.add_argument("variants", nargs="+", metavar="VARIANTS", help="a file of variants, or presets")
    parser.add_argument("--out", default="runs/compare", metavar="DIR", help="where to write")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    with extra("plot"):  # told now, not after hours of training
        import matplotlib  # noqa: F401
    if not arguments.out:
        raise AttentioError("--out is empty; name a folder, or leave it out for runs/compare")
    variants = _variants(arguments.variants, overrides)
    if len({config.model.type for config in variants.values()}) > 1:
        raise AttentioError("the variants differ in model.type, and so in what is measured; compare one type")
    budgets = {tuple(getattr(config.training, key) for key in BUDGET) for config in variants.values()}
    if len(budgets) > 1:
        raise AttentioError(
            f"the variants differ in training.{', training.'.join(BUDGET)}; give them one budget, "
            f"for instance with --training.max_steps N"
        )
    console = Console(emoji=False, highlight=False)
    folder = Path(arguments.out)
    outcomes = []
    for number, (name, config) in enumerate(variants.items(), start=1):
        console.rule(said(f"{name} ({number} of {len(variants)})"))
        outcomes.append(_train_and_measure(name, config, folder / name, arguments.device))
    written = _write(folder, outcomes)
    console.print(_table(outcomes))
    console.print(said(f"wrote {', '.join(map(str, written))}"), soft_wrap=True)
    return 0


def _variants(given: Sequence[str], overrides: Sequence[str]) -> dict[str, Config]:
    """The configuration of each variant by its name."""
    configs: dict[str, Config] = {}
    for one in given:
        path = _recipes().get(one, Path(one))
        content = _variants_file(path) if path.is_file() else None
        if content is None:
            content = {"base": one, "variants": {Path(one).stem: {}}}
        for name, changes in content["variants"].items():
            check_name(str(name), f"{one}: the variant's name")
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


def _recipes() -> dict[str, Path]:
    """The files of variants that come along, by name."""
    folder = Path(str(resources.files("attentio"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _variants_file(path: Path) -> dict[str, Any] | None:
    """The content of a file of variants; None for the configuration of a single run."""
    content = read_yaml(path)
    if not isinstance(content, dict) or "variants" not in content:
        return None
    if set(content) != {"base", "variants"} or not isinstance(content["variants"], dict):
        raise AttentioError(f"{path} must hold `base` (a preset or file) and `variants` (name: changes), nothing else")
    return content


def _train_and_measure(name: str, config: Config, folder: Path, device: str) -> Outcome:
    """Train and evaluate one variant, each in a process of its own, so that peak memory is the variant's."""
    from attentio.training.records import read_memory

    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "variant.yaml"
    asked.write_text(to_yaml(config), encoding="utf-8")
    _attentio("train", asked, "--run", folder, "--device", device)
    _attentio("evaluate", folder, "--device", device)
    report = json.loads((folder / "evaluation" / "scores.json").read_text(encoding="utf-8"))
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Outcome(
        variant=name,
        scores={one["name"]: one["value"] for one in report["scores"]},
        by_source_length=report["by_source_length"],
        parameters=report["parameters"],
        target_tokens_per_second=statistics.median(float(row["target_tokens_per_second"]) for row in rows),
        waits=waits_for_attention(config.model),
        peak_megabytes=read_memory(folder),
        seconds=float(rows[-1]["seconds"]),
    )


def waits_for_attention(model: ModelConfig) -> bool:
    """Whether the context enters the recurrence, so that training must go step by step."""
    recurrent = model.type == "encoder-decoder" and model.decoder == "recurrent"
    return recurrent and (model.attention == "bahdanau" or (model.attention == "luong" and model.input_feeding))


def _attentio(*words: object) -> None:
    """Run a verb to its end. Leaves with its exit code if it fails, and after it when told to stop."""
    with system.noted_signals() as received:
        child = subprocess.Popen([sys.executable, "-m", "attentio", *map(str, words)])
        while child.poll() is None and not received:
            time.sleep(0.05)
        for number in received:
            system.pass_on(number, child)
        code = child.wait()
    if received:
        raise SystemExit(128 + received[0])
    if code:
        raise SystemExit(code if code > 0 else 128 - code)


def _cells(outcome: Outcome) -> list[str]:
    return [
        outcome.variant,
        *(f"{value:.2f}" for value in outcome.scores.values()),
        f"{outcome.target_tokens_per_second:,.0f}",
        "yes" if outcome.waits else "no",
        f"{outcome.seconds / 60:.1f}",
        "-" if outcome.peak_megabytes is None else f"{outcome.peak_megabytes:,.0f}",
        f"{outcome.parameters:,}",
    ]


def _headings(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        "variant",
        *outcomes[0].scores,
        "training tokens/s",
        "waits for attention",
        "minutes",
        "peak MB",
        "parameters",
    ]


def _table(outcomes: Sequence[Outcome]) -> Any:
    from rich.table import Table

    table = Table()
    for number, heading in enumerate(_headings(outcomes)):
        table.add_column(said(heading), justify="right" if number else "left", no_wrap=number == 0)
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    return table


def _write(folder: Path, outcomes: Sequence[Outcome]) -> list[Path]:
    """The table as JSON and Markdown, and one or two pictures."""
    from attentio.evaluation.by_length import LengthBin
    from attentio.evaluation.metrics import Score
    from attentio.pictures.curves import save_comparison, save_quality_by_length

    as_json, as_markdown = folder / "compare.json", folder / "compare.md"
    content = json.dumps([outcome._asdict() for outcome in outcomes], indent=1, ensure_ascii=False)
    as_json.write_text(content + "\n", encoding="utf-8")
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
