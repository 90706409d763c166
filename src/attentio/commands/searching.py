"""A search over keys of the configuration: trials, each a run of its own, the next chosen by what the others reached.

`search.json` in the folder of the search holds all that was tried, so that the same command goes on with it. What the
next trial tries is a function of the seed and of the trials before it, interrupted or not.
"""

import argparse
import csv
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from attentio import system
from attentio.commands.training_process import train_apart
from attentio.commands.words import said
from attentio.config.read import leaves, load_config
from attentio.config.schema import Config
from attentio.config.space import Numbers, Range
from attentio.errors import AttentioError, extra
from attentio.files import read_json

BUDGET = ("max_steps", "max_minutes", "batch_tokens", "accumulate")
"""Of `training`: what models that are compared have alike."""

STATE, TABLE = "search.json", "search.csv"
TRIALS = 20
"""Where neither --trials nor --minutes is given."""

_SECTIONS = ("model.", "text.", "masking.", "training.")
_SAME_FOR_ALL = ("model.type", "training.seed", *(f"training.{key}" for key in BUDGET))
_SHOWN = 10
_DIGITS = 4
"""Of a number that is tried: what is written is what is tried."""


@dataclass
class Trial:
    """One run of the search.

    values: of the keys. goal: what chose its best checkpoint; higher is better. step, scores: of that validation.
    """

    number: int
    values: dict[str, Any]
    state: Literal["begun", "finished", "failed"] = "begun"
    goal: float | None = None
    step: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    exit_code: int | None = None


@dataclass(frozen=True)
class Search:
    """base, overrides: of every trial; config: theirs. space: what each key is drawn from."""

    base: str
    overrides: Sequence[str]
    config: Config
    space: Mapping[str, Range]
    folder: Path
    trials: list[Trial]

    def place(self, trial: Trial) -> Path:
        """The run directory of a trial."""
        return self.folder / f"trial-{trial.number:03d}"

    def keep(self) -> None:
        """Write down all that was tried."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {**_facts(self.config, self.space), "trials": [asdict(trial) for trial in self.trials]}
        system.replace_text(self.folder / STATE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def run_search(base: str, space: Mapping[str, Range], overrides: Sequence[str], arguments: argparse.Namespace) -> int:
    """Try values of the keys until the trials or the minutes are used up, and show the best. Returns the exit code."""
    from rich.console import Console

    with extra("search"):  # told now, not after the first training
        import optuna  # noqa: F401
    config = load_config(base, shared=overrides)
    _check(base, space, overrides, config)
    folder, console = Path(arguments.out), Console(emoji=False, highlight=False)
    search = Search(base, overrides, config, space, folder, _begun(folder, config, space))
    most = arguments.trials or (math.inf if arguments.minutes else TRIALS)
    seconds = 60 * (arguments.minutes or math.inf)
    trials = search.trials
    while True:
        if not trials or trials[-1].state != "begun":
            if len(trials) >= most or sum(trial.seconds for trial in trials) >= seconds:
                break
            trials.append(Trial(len(trials) + 1, next_values(trials, space, seed=config.training.seed)))
        shown = ", ".join(f"{key} {value}" for key, value in trials[-1].values.items())
        console.rule(said(f"trial {len(trials)}: {shown}"))
        _try(search, trials[-1], arguments)
        if code := trials[-1].exit_code:
            console.print(said(f"trial {len(trials)} failed with exit code {code}; why stands above"))
    return _tell(search, console)


def _check(base: str, space: Mapping[str, Range], overrides: Sequence[str], config: Config) -> None:
    """AttentioError for a key that is not searched over, or a value that it cannot have."""
    for key, among in space.items():
        if key in _SAME_FOR_ALL or not key.startswith(_SECTIONS):
            raise AttentioError(
                f"--search {key}: keys of {' '.join(_SECTIONS)} are searched over, but not {', '.join(_SAME_FOR_ALL)}, "
                "which are the same for all trials"
            )
        if key.startswith("text.") and config.model.type in ("masked-lm", "causal-lm"):
            raise AttentioError(f"--search {key}: the perplexities of other tokens cannot be compared; leave it out")
        units = {load_config(base, [f"--{key}={value}"], shared=overrides).units for value in among.ends}
        if "per" in config.evaluation.metrics and len(units) > 1:
            raise AttentioError(
                f"--search {key}: per would count words in some trials and characters in others; give evaluation.units"
            )


def _begun(folder: Path, config: Config, space: Mapping[str, Range]) -> list[Trial]:
    """The trials that are there; AttentioError where they are of another search."""
    path = folder / STATE
    if not path.is_file():
        return []
    content = read_json(path)
    facts = json.loads(json.dumps(_facts(config, space)))
    if {key: content.get(key) for key in facts} != facts:
        raise AttentioError(f"{path} is of another search; choose another --out, or remove it to begin anew")
    try:
        return [Trial(**one) for one in content["trials"]]
    except (KeyError, TypeError):
        raise AttentioError(f"{path} is damaged; choose another --out, or remove it to begin anew") from None


def _facts(config: Config, space: Mapping[str, Range]) -> dict[str, Any]:
    """What a search is: all that its trials share, the seed among it, and what differs."""
    return {"config": dict(leaves(asdict(config))), "space": {key: among._asdict() for key, among in space.items()}}


def next_values(trials: Sequence[Trial], space: Mapping[str, Range], *, seed: int) -> dict[str, Any]:
    """What to try after these trials, by the tree-structured Parzen estimator (Bergstra et al. 2011)."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, Any] = {}
    for key, among in space.items():
        if isinstance(among, Numbers):
            kind: Any = IntDistribution if isinstance(among.low, int) else FloatDistribution
            distributions[key] = kind(among.low, among.high, log=among.log)
        else:
            distributions[key] = CategoricalDistribution(among.values)
    sampler = optuna.samplers.TPESampler(seed=(seed + len(trials)) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        state = TrialState.COMPLETE if trial.state == "finished" else TrialState.FAIL
        done = create_trial(state=state, value=trial.goal, params=trial.values, distributions=distributions)
        study.add_trial(done)
    found = study.ask(distributions).params
    return {key: _rounded(found[key], among) for key, among in space.items()}


def _rounded(value: Any, among: Range) -> Any:
    if not isinstance(value, float) or not isinstance(among, Numbers):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), among.low), among.high)


def _try(search: Search, trial: Trial, arguments: argparse.Namespace) -> None:
    """Train a trial, or go on with its training, and keep what came of it."""
    options = [f"--{key}={value}" for key, value in trial.values.items()]
    config = load_config(search.base, options, shared=search.overrides)
    search.keep()
    before, started = trial.seconds, time.monotonic()
    try:
        trial.exit_code = train_apart(config, search.place(trial), arguments)
    finally:
        trial.seconds = before + time.monotonic() - started
        search.keep()
    if trial.exit_code:
        trial.state = "failed"
    else:
        _measure(trial, search.place(trial))
        trial.state = "finished"
    search.keep()


def _measure(trial: Trial, place: Path) -> None:
    """Read what the run reached at its best validation."""
    from attentio.training.checkpoint import Checkpoints
    from attentio.training.records import COLUMNS, METRICS, read_metrics

    progress = Checkpoints(place).load("last").facts["progress"]
    trial.goal, trial.step = progress["best_goal"], progress["best_step"]
    rows = [row for row in read_metrics(place / METRICS) if int(row["step"]) == trial.step]
    trial.scores = {name: float(value) for row in rows for name, value in row.items() if name not in COLUMNS and value}


def _tell(search: Search, console: Any) -> int:
    """The best trials as a table, and all of them in a file."""
    from rich.table import Table

    finished = [trial for trial in search.trials if trial.goal is not None]
    best_first = sorted(finished, key=lambda trial: -(trial.goal or 0.0))
    path = _write_table(search)
    if not best_first:
        raise AttentioError(f"none of {len(search.trials)} trials was finished; {path} lists them")
    keys, scores = [*search.space], [*best_first[0].scores]
    table = Table(*map(said, ("trial", *keys, *scores, "minutes")))
    for trial in best_first[:_SHOWN]:
        shown = (f"{trial.scores.get(name, math.nan):.3f}" for name in scores)
        table.add_row(str(trial.number), *(str(trial.values[key]) for key in keys), *shown, f"{trial.seconds / 60:.1f}")
    console.print(table)
    failed = len(search.trials) - len(finished)
    console.print(said(f"{len(search.trials)} trials, of which {failed} failed; all are in {path}"), soft_wrap=True)
    told = "the scores are those on which the best was chosen, of validations; on data that chose nothing:"
    console.print(said(told), soft_wrap=True)
    console.print(f"  attentio evaluate {search.place(best_first[0])}", soft_wrap=True)
    return 0


def _write_table(search: Search) -> Path:
    """All trials, in the order of their numbers."""
    path, keys = search.folder / TABLE, [*search.space]
    names = list(dict.fromkeys(name for trial in search.trials for name in trial.scores))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "state", *keys, *names, "best_step", "seconds", "exit_code"])
        for one in search.trials:
            values = [one.values[key] for key in keys] + [one.scores.get(name, "") for name in names]
            writer.writerow([one.number, one.state, *values, one.step, f"{one.seconds:.1f}", one.exit_code])
    return path
