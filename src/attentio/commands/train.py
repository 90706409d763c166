"""attentio train PRESET_OR_YAML [--run DIR] [--key.sub value ...]"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from attentio import system
from attentio.commands.words import said
from attentio.config.read import as_begun, check_name, load_config, load_run, preset_names
from attentio.config.schema import Config
from attentio.config.uses import parts_of, without_use
from attentio.errors import AttentioError
from attentio.files import is_missing
from attentio.runs.archive import is_bundle
from attentio.runs.origin import taken_over
from attentio.runs.places import along

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        f"presets: {', '.join(preset_names())}\n"
        "--key.sub value sets a key of the configuration, such as --data.train FILE or --training.max_steps 500.\n"
        "--init RUN begins with the weights of a trained model; --teacher RUN learns from one."
    )
    parser.add_argument("config", metavar="PRESET_OR_YAML", help="a preset, a YAML file, or a run directory to resume")
    parser.add_argument("--run", metavar="DIR", help="where to write (default: runs/NAME)")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    if arguments.run == "":
        raise AttentioError("--run is empty; name a folder, or leave it out for runs/NAME")
    given = Path(arguments.config)
    if is_bundle(given) or (arguments.config in along() and arguments.config not in preset_names()):
        raise AttentioError(
            f"{given} is a bundle, and no configuration; `attentio train PRESET --init {given}` goes on"
        )
    if not (given / "config.yaml").is_file():
        if given.is_dir() and arguments.config not in preset_names():
            raise AttentioError(f"{given} is not a run directory: it has no config.yaml; `attentio train` makes one")
        config = load_config(arguments.config, shared=overrides)
        check_name(config.name, f"{arguments.config}: name")
        folder = Path(arguments.run or Path("runs") / config.name)
        later = [*as_begun(folder, overrides), *taken_over(config, overrides, folder)]
        used = load_config(arguments.config, overrides, shared=later)
        if used.init and used.model != config.model:
            print(said(f"the model is that of {used.init}, not the one of {arguments.config}"), file=sys.stderr)
        if arguments.config in preset_names():
            _check_data_of(arguments.config, used)
        return train(used, folder, arguments.device, arguments.allow_code)
    folder, config = Path(arguments.run or given), load_run(given, overrides)
    if folder.resolve() != given.resolve() and not (folder / "checkpoints").exists():
        if config.init is None:
            told = f"{folder} begins from fresh weights with {given}'s configuration; --init {given} takes its weights"
            print(said(told), file=sys.stderr)
        config = load_config(str(given / "config.yaml"), overrides, shared=taken_over(config, overrides, folder))
    return train(config, folder, arguments.device, arguments.allow_code)


def _check_data_of(preset: str, config: Config) -> None:
    """AttentioError where the preset names files as its data, and they are not here."""
    train = config.data.train
    if (
        train == load_config(preset).data.train
        and ":" not in train
        and any(is_missing(Path(part)) for part in train.split(","))
    ):
        raise AttentioError(
            f"{train}: the data that {preset} names are not here; give yours with --data.train FILE, or "
            f"--data.train SOURCE_FILE,TARGET_FILE"
        )


def train(config: Config, folder: Path, device_name: str, allow_code: Sequence[str] = ()) -> int:
    """Train as `config` says on a device and leave everything in `folder`. Returns the exit code.

    allow_code: files of the user's own code that `config` may name.
    """
    # A file may have keys that do nothing, since it may have all, but this one would be missed.
    dropping = [f"text.{side}.bpe_dropout" for side in ("source", "target") if getattr(config.text, side).bpe_dropout]
    if idle := without_use(config, dropping):
        raise AttentioError(idle)
    if "transformer" in parts_of(config):
        system.keep_few_routines()
    # Before torch, which takes seconds: what is wrong with the data is told at once.
    from attentio.data.part import read_parts

    parts = None if system.may_have_peers() else read_parts(config)
    from rich.console import Console

    from attentio.commands.train_steps import Asked, made_ready, made_trainer, resume, updated
    from attentio.runs.begin import alone_in
    from attentio.runs.own_code import own_code
    from attentio.runs.tasks import task_of
    from attentio.training.checkpoint import Checkpoints
    from attentio.training.ranks import ranks, together

    task, own = task_of(config), own_code(config.model, allow_code, config.name)
    metrics = task.metrics(config)  # one that cannot be computed is told now, not at the first validation
    checkpoints = Checkpoints(folder, keep=config.training.keep_checkpoints)
    with ranks(device_name, precision=config.training.precision) as fabric, ExitStack() as held:
        first = fabric.is_global_zero
        console = Console(stderr=True, emoji=False, highlight=False, quiet=not first)
        asked = Asked(config, folder, fabric, console, own, allow_code)
        with together(fabric):
            train_part, dev_part = parts or read_parts(config)
            if first:
                held.enter_context(alone_in(folder))
        resuming = fabric.broadcast(first and checkpoints.exists())
        ready = made_ready(asked, train_part, dev_part, resuming=resuming)
        trainer = made_trainer(asked, ready, checkpoints)
        if resuming:
            resume(asked, trainer, checkpoints)
        progress, received = updated(asked, ready, trainer, metrics)
    if received or not progress.finished:
        asked.say(f"stopped and saved at step {progress.step}; the same command resumes from there")
        return 128 + (received or [system.ASKED_TO_END])[0]
    place = shlex.quote(str(folder))
    asked.say(f"finished at step {progress.step}; the best was step {progress.best_step}. Now try")
    console.print(f"  attentio evaluate {place}\n  attentio {task.example(place)}", markup=False, soft_wrap=True)
    return 0
