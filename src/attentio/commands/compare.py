"""attentio compare VARIANTS ... [--out DIR] [--key.sub value ...]: several variants, equal budget, one table."""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from attentio.commands.comparison import Measured, Outcome, print_table, write
from attentio.commands.numbers import Minutes, Seeds, Trials
from attentio.commands.searching import BUDGET, run_search
from attentio.commands.training_process import allowed, train_apart
from attentio.commands.words import said
from attentio.config.plain_yaml import read_yaml
from attentio.config.read import check_name, keys_of, load_config, load_run, preset_names
from attentio.config.schema import Config, ModelConfig
from attentio.config.space import Range, range_of
from attentio.config.uses import without_use
from attentio.errors import AttentioError, did_you_mean, extra
from attentio.files import is_missing
from attentio.runs.places import SUFFIX, along, run_at

TAKES_OVERRIDES = True


class Row(NamedTuple):
    """A variant to be trained, or a run that is there, in `run`."""

    config: Config
    run: Path | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A FILE holds `base: PRESET_OR_YAML` and `variants: {NAME: {model.attention: luong, ..}, ..}`,\n"
        "or `base` and `search: {training.learning_rate: 1e-4..1e-2 log, model.cell: [lstm, gru], ..}`.\n"
        f"Such files that come along, by name: {', '.join(_recipes())}.\n"
        "--key.sub value applies to every variant. The same command again resumes where it stopped."
    )
    parser.add_argument(
        "variants",
        nargs="+",
        metavar="VARIANTS",
        help="a file of variants, presets, or runs that are there: they are only measured",
    )
    parser.add_argument("--out", default="runs/compare", metavar="DIR", help="where to write")
    parser.add_argument("--seeds", type=Seeds, default=1, metavar="N", help="train each variant with N seeds")
    parser.add_argument("--data", metavar="FILE", help="pairs or text to measure on (default: as configured)")
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="KEY=RANGE",
        help="look for the best value, such as 'training.learning_rate=1e-4..1e-2 log'; give it again for more keys",
    )
    parser.add_argument("--trials", type=Trials, metavar="N", help="of a search: runs in all (default: 20)")
    parser.add_argument("--minutes", type=Minutes, metavar="M", help="of a search: no run is begun after so many")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from rich.console import Console

    if not arguments.out:
        raise AttentioError("--out is empty; name a folder, or leave it out for runs/compare")
    if searched := _searched(arguments):
        return run_search(*searched, overrides, arguments)
    with extra("plot"):  # told now, not after hours of training
        import matplotlib  # noqa: F401
    rows = _rows(arguments.variants, overrides)
    _check(rows, arguments)
    console = Console(emoji=False, highlight=False)
    folder = Path(arguments.out)
    outcomes: list[Outcome] = []
    for number, (name, row) in enumerate(rows.items(), start=1):
        console.rule(said(f"{name} ({number} of {len(rows)})"))
        runs = (
            [_measure(row.run, folder / name, arguments)] if row.run else _train(row.config, folder / name, arguments)
        )
        outcomes.append(Outcome(name, runs, waits_for_attention(row.config.model)))
    outcomes = _against_first(outcomes, rows)
    written = write(folder, outcomes)
    print_table(console, outcomes)
    if any(outcome.p_value is not None for outcome in outcomes):
        first, metric = outcomes[0].variant, rows[outcomes[0].variant].config.evaluation.metrics[0]
        console.print(
            said(f"p: the probability of a difference of {metric} from {first} at least this large by chance alone"),
            soft_wrap=True,
        )
    console.print(said(f"wrote {', '.join(map(str, written))}"), soft_wrap=True)
    return 0


def _searched(arguments: argparse.Namespace) -> tuple[str, dict[str, Range]] | None:
    """What is searched from and over, if it is a search; AttentioError for options that are none of it."""
    (given, *more), written = arguments.variants, [one.partition("=") for one in arguments.search]
    content = read_yaml(Path(given)) if Path(given).is_file() and given.endswith((".yaml", ".yml")) else None
    if isinstance(content, dict) and "search" in content:
        of_file = content["search"]
        if set(content) != {"base", "search"} or not isinstance(of_file, dict):
            raise AttentioError(f"{given} must hold `base` (a preset or file) and `search` (key: range), nothing else")
        given, written = str(content["base"]), [*((key, "=", among) for key, among in of_file.items()), *written]
    space = {key: range_of(key, among) for key, _, among in written}
    for option in ("trials", "minutes"):
        if getattr(arguments, option) and not space:
            raise AttentioError(f"--{option} is for --search; leave it out")
    if not space:
        return None
    if more or arguments.seeds > 1 or arguments.data:
        raise AttentioError(
            "--search begins from one preset or file, with one seed and its own data; leave the rest out"
        )
    return given, space


def _check(rows: Mapping[str, Row], arguments: argparse.Namespace) -> None:
    """AttentioError for rows whose numbers could not be compared."""
    configs = [row.config for row in rows.values()]
    if len({config.model.type for config in configs}) > 1:
        raise AttentioError("the variants differ in model.type, and so in what is measured; compare one type")
    if len({tuple(config.evaluation.metrics) for config in configs}) > 1:
        raise AttentioError("the variants differ in evaluation.metrics; give them the same")
    if "per" in configs[0].evaluation.metrics and len({config.units for config in configs}) > 1:
        raise AttentioError(
            "per would count words in one variant and characters in another; give them the same evaluation.units"
        )
    if len({"2" if config.data.columns is None else config.data.columns[1] for config in configs}) > 1:
        raise AttentioError("the variants differ in the target that data.columns names; give them the same")
    trained = [row.config.training for row in rows.values() if row.run is None]
    if len({tuple(getattr(training, key) for key in BUDGET) for training in trained}) > 1:
        raise AttentioError(
            f"the variants differ in training.{', training.'.join(BUDGET)}; give them one budget, "
            f"for instance with --training.max_steps N"
        )
    if not trained and arguments.seeds > 1:
        raise AttentioError("--seeds is for variants that are trained, and these are all there; leave it out")
    measured = {name: _measured_on(row.config) for name, row in rows.items()}
    if not arguments.data and len(set(measured.values())) > 1:
        (one, first), *others = measured.items()
        name, other = next((name, data) for name, data in others if data != first)
        raise AttentioError(f"{one} would be measured on {first}, and {name} on {other}; give --data FILE for both")


def _measured_on(config: Config) -> str:
    data = config.data
    return data.test or data.dev or f"what is held out of {data.train}"


def _rows(given: Sequence[str], overrides: Sequence[str]) -> dict[str, Row]:
    """Each row by its name. What is a preset and a model that comes along is the model, if a run stands beside it."""
    rows: dict[str, Row] = {}
    trainable = {*preset_names(), *_recipes()}
    if any(one not in trainable and run_at(one) for one in given):
        trainable -= {*along()}
    for one in given:
        if (there := None if one in trainable else run_at(one)) is not None:
            rows_of_one = {there.resolve().name.removesuffix(SUFFIX): Row(_config_of(there), there)}
        else:
            rows_of_one = {name: Row(config) for name, config in _variants(one, overrides).items()}
        for name, row in rows_of_one.items():
            if name in rows:
                raise AttentioError(f"{one}: a second variant called {name!r}; give each a name of its own")
            rows[name] = row
    trained = [row.config for row in rows.values() if row.run is None]
    if overrides and not overrides[0].startswith("--"):
        raise AttentioError(f"{overrides[0]!r} stands behind the options; give it before them, with the other variants")
    if overrides and not trained:
        raise AttentioError(f"{overrides[0]} is for variants that are trained, and these are all there; leave it out")
    for key in keys_of(overrides):
        idle = [without_use(config, [key]) for config in trained]
        if all(idle):
            raise AttentioError(f"of no variant: {idle[0]}")
    return rows


def _config_of(run: Path) -> Config:
    """Of a run directory or a bundle."""
    from attentio.runs.bundle import read_config

    if run.is_dir() and not (run / "config.yaml").is_file():
        raise AttentioError(f"{run} is not a run directory: it has no config.yaml; `attentio train` makes one")
    return load_run(run) if run.is_dir() else read_config(run)


def _variants(given: str, overrides: Sequence[str]) -> dict[str, Config]:
    """The configuration of each variant that a file or preset names, by its name."""
    path = _recipes().get(given, Path(given))
    known = [*preset_names(), *_recipes(), *along()]
    if given not in known and is_missing(path):
        raise AttentioError(
            f"{given!r} is no preset, file, run or model that comes along; `attentio train --help` and "
            f"`attentio models` list them{did_you_mean(given, known)}"
        )
    content = _variants_file(path) if path.is_file() else None
    if content is None:
        content = {"base": given, "variants": {Path(given).stem: {}}}
    configs: dict[str, Config] = {}
    for name, changes in content["variants"].items():
        check_name(str(name), f"{given}: the variant's name")
        if not isinstance(changes or {}, dict):
            raise AttentioError(f"{given}: variant {name!r} must hold changes such as model.attention: luong")
        options = [f"--{key}={'null' if value is None else value}" for key, value in (changes or {}).items()]
        try:
            configs[str(name)] = load_config(str(content["base"]), options, shared=overrides)
        except AttentioError as error:
            where = f"{given}: variant {name!r}"
            raise AttentioError(f"{where}: {error}") from None
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


def _train(config: Config, folder: Path, arguments: argparse.Namespace) -> list[Measured]:
    """Train and evaluate one variant, each training in a process of its own, so that peak memory is the training's."""
    measured = []
    for seed in range(config.training.seed, config.training.seed + arguments.seeds):
        place = folder if arguments.seeds == 1 else folder / f"seed-{seed}"
        if code := train_apart(replace(config, training=replace(config.training, seed=seed)), place, arguments):
            raise SystemExit(code)
        measured.append(_measure(place, place / "evaluation", arguments))
    return measured


def _measure(run: Path, folder: Path, arguments: argparse.Namespace) -> Measured:
    """Evaluate a run, and read what is known of its training."""
    from attentio.commands.main import main
    from attentio.training.records import METRICS, read_memory, read_metrics

    data = ("--data", arguments.data) if arguments.data else ()
    if code := main(
        ["evaluate", str(run), "--out", str(folder), "--device", arguments.device, *data, *allowed(arguments)]
    ):
        raise SystemExit(code)
    report = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    rows = read_metrics(run / METRICS) if (run / METRICS).is_file() else []
    return Measured(
        folder=str(folder),
        scores={one["name"]: one["value"] for one in report["scores"]},
        by_source_length=report["by_source_length"],
        parameters=report["parameters"],
        target_tokens_per_second=(
            statistics.median(float(row["target_tokens_per_second"]) for row in rows) if rows else None
        ),
        peak_megabytes=read_memory(run),
        seconds=float(rows[-1]["seconds"]) if rows else None,
    )


def _against_first(outcomes: Sequence[Outcome], rows: Mapping[str, Row]) -> list[Outcome]:
    """With the probability that a difference from the first is chance, where each has one run and outputs.

    Variants that read the data otherwise, as by text.normalize, are to say something else: they are not compared so.
    """
    from attentio.evaluation.metrics import difference_p_value
    from attentio.evaluation.report import read_outputs

    config = next(iter(rows.values())).config
    paths = [Path(outcome.runs[0].folder) / "outputs.tsv" for outcome in outcomes]
    if any(len(outcome.runs) > 1 for outcome in outcomes) or not all(path.is_file() for path in paths):
        return list(outcomes)
    first, *others = map(read_outputs, paths)
    found = [outcomes[0]]
    for outcome, outputs in zip(outcomes[1:], others, strict=True):
        references = [one.references for one in outputs]
        if references != [one.references for one in first]:
            found.append(outcome)
            continue
        p_value = difference_p_value(
            config.evaluation.metrics[0],
            [one.output for one in outputs],
            [one.output for one in first],
            references,
            units=config.units,
            bleu_tokenize=config.evaluation.bleu_tokenize,
        )
        found.append(outcome._replace(p_value=p_value))
    return found


def waits_for_attention(model: ModelConfig) -> bool:
    """Whether the context enters the recurrence, so that training must go step by step."""
    recurrent = model.type == "encoder-decoder" and model.decoder == "recurrent"
    attentional = model.attention == "luong" or ".py:" in model.attention
    return recurrent and (model.attention == "bahdanau" or (attentional and model.input_feeding))
