"""attentio train PRESET_OR_YAML [--run DIR] [--key.sub value ...]"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentio import system
from attentio.commands.words import said
from attentio.config.read import as_begun, check_name, load_config, load_run, preset_names
from attentio.config.schema import Config
from attentio.errors import AttentioError
from attentio.runs.archive import is_bundle
from attentio.runs.origin import taken_over
from attentio.runs.places import along

if TYPE_CHECKING:
    from attentio.data.part import Part
    from attentio.runs.directory import Contents
    from attentio.runs.initial import Initial
    from attentio.training.records import MetricsRow

TAKES_OVERRIDES = True

MOST_SHOWN = 20
"""Weights and symbols that are told by name."""


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
        config = load_config(arguments.config, shared=overrides)
        check_name(config.name, f"{arguments.config}: name")
        folder = Path(arguments.run or Path("runs") / config.name)
        later = [*as_begun(folder, overrides), *taken_over(config, overrides, folder)]
        used = load_config(arguments.config, overrides, shared=later)
        if used.init and used.model != config.model:
            print(said(f"the model is that of {used.init}, not the one of {arguments.config}"), file=sys.stderr)
        return train(used, folder, arguments.device, arguments.allow_code)
    folder, config = Path(arguments.run or given), load_run(given, overrides)
    if folder.resolve() != given.resolve() and not (folder / "checkpoints").exists():
        if config.init is None:
            told = f"{folder} begins from fresh weights with {given}'s configuration; --init {given} takes its weights"
            print(said(told), file=sys.stderr)
        config = load_config(str(given / "config.yaml"), overrides, shared=taken_over(config, overrides, folder))
    return train(config, folder, arguments.device, arguments.allow_code)


def train(config: Config, folder: Path, device_name: str, allow_code: Sequence[str] = ()) -> int:
    """Train as `config` says on a device and leave everything in `folder`. Returns the exit code.

    allow_code: files of the user's own code that `config` may name.
    """
    # Before torch, which takes seconds: what is wrong with the data is told at once.
    from attentio.data.part import read_parts

    parts = None if system.may_have_peers() else read_parts(config)
    from rich.console import Console
    from rich.progress import track

    from attentio.data.kept import Cache
    from attentio.runs.begin import alone_in, prepare
    from attentio.runs.directory import Contents
    from attentio.runs.distillation import check_vocabularies, read_teachers, with_lessons
    from attentio.runs.initial import check_known, lacking, read_origin, take_weights
    from attentio.runs.own_code import own_code, tell_changes
    from attentio.runs.sums import sums
    from attentio.runs.tasks import task_of
    from attentio.runs.watched import Watched
    from attentio.training.checkpoint import Checkpoints
    from attentio.training.distillation import Teaching
    from attentio.training.footprint import check_training_fits
    from attentio.training.freezing import freeze
    from attentio.training.loop import Trainer
    from attentio.training.ranks import precision_on, ranks, together
    from attentio.training.records import Records, write_memory

    options, task = config.training, task_of(config)
    own = own_code(config.model, allow_code, config.name)
    metrics = task.metrics(config)  # one that cannot be computed is told now, not at the first validation
    checkpoints = Checkpoints(folder, keep=options.keep_checkpoints)
    with ranks(device_name, precision=options.precision) as fabric, ExitStack() as held:
        first, device = fabric.is_global_zero, fabric.device
        console = Console(stderr=True, emoji=False, highlight=False, quiet=not first)

        def say(text: str) -> None:
            console.print(said(text), markup=False, soft_wrap=True)

        how: dict[str, Any] = {"device": device, "say": say, "console": console, "allow_code": allow_code}
        with together(fabric):
            train_part, dev_part = parts or read_parts(config)
            if first:
                held.enter_context(alone_in(folder))
        resuming = fabric.broadcast(first and checkpoints.exists())
        with together(fabric):
            origin = None if resuming or config.init is None else read_origin(config.init, allow_code)
            teachers = read_teachers(config, allow_code)
            if first:
                lessons = with_lessons(config, train_part, folder, **how)
                known = next((one.tokenizers for one in (origin, *teachers) if one is not None), None)
                tokenizers = prepare(
                    folder, config, train_part, dev_part, resuming=resuming, lessons=lessons, known=known
                )
        with together(fabric):
            if not first:
                if not (folder / "config.yaml").is_file():
                    raise AttentioError(f"{folder} of rank 0 is not seen by the others; choose a --run that all share")
                lessons = with_lessons(config, train_part, folder, **how)
                tokenizers = task.blueprint.load_tokenizers(folder / "tokenizer", config)
            for teacher in teachers:
                check_vocabularies(teacher, tokenizers, str(folder))
            model = task.blueprint.build_model(config.model, tokenizers, seed=options.seed, own=own)
            contents = Contents(folder, config, tokenizers, model)
            if first:
                _introduce(console, say, contents, train_part, dev_part)
            if origin is not None:
                taken = take_weights(origin, contents)
                if first:
                    taken.write(folder)
                    _tell_origin(console, say, taken)
                    _tell_lacking(say, config, lacking(config, train_part, tokenizers))
            if options.freeze:
                say(f"training.freeze: {freeze(model, options.freeze):,} numbers stay as they are")
            cache = Cache(
                folder / "tokens", lambda items, total: track(items, said("encoding"), total, console=console)
            )
            corpus = task.corpus(config, lessons, tokenizers, seed=options.seed, cache=cache)
            if not resuming and (whose := config.init or (teachers and config.teacher)):
                check_known(corpus, tokenizers, whose)
            if device.type != "cpu":
                say(f"on {device}; --device cpu trains on the CPU")
            if precision_on(device, options.precision) != options.precision:
                say("this processor has no instructions for bfloat16: products are computed in 32 bits, in more time")
            if fabric.world_size > 1:
                say(f"{fabric.world_size} processes, each with {options.accumulate} of the batches of an update")
            models = [teacher.model.to(device) for teacher in teachers]
            check_training_fits(model, corpus, batch_tokens=options.batch_tokens, beside=models)
            if first:
                for note in task.notes(contents, corpus, dev_part):
                    say(note)
            validate = task.validation(contents, dev_part, say)
            facts = sums(folder, config) | {"code_sha256": dict(own.sha256)}
        trainer = Trainer(
            model,
            options,
            checkpoints,
            fabric=fabric,
            corpus=corpus,
            never=tokenizers.target.pad,
            teaching=Teaching(models, weight=options.distill_weight) if models else None,
            facts=facts,
            validate=validate,
        )
        if resuming:
            lost = "" if checkpoints.has("last") else f", the newest whole checkpoint: {folder / 'last'} is missing"
            with together(fabric):
                trainer.resume()
            if own.sha256:
                tell_changes(own, checkpoints.load("last").facts, folder)
            say(f"going on after step {trainer.progress.step}{lost}")
        with (
            system.noted_signals() as received,
            Records(folder, metrics, after=trainer.progress.step) if first else nullcontext() as records,
            _progress(console, options.max_steps, trainer.progress.step) as show,
        ):

            def record(row: "MetricsRow") -> None:
                if records is not None:
                    records.write(row)
                show(row)

            watch = None
            if first and options.watch:
                fixed = task.to_watch(contents, dev_part, options.watch)
                watch = Watched(folder, model, fixed, every=options.validate_every, after=trainer.progress.step)
            progress = trainer.run(record, should_stop=lambda: bool(received), watch=watch)
        if first:
            write_memory(folder)
    if received or not progress.finished:
        say(f"stopped and saved at step {progress.step}; the same command resumes from there")
        return 128 + (received or [system.ASKED_TO_END])[0]
    place = shlex.quote(str(folder))
    say(f"finished at step {progress.step}; the best was step {progress.best_step}. Now try")
    console.print(f"  attentio evaluate {place}\n  attentio {task.example(place)}", markup=False, soft_wrap=True)
    return 0


def _introduce(console: Any, say: Callable[[str], None], contents: "Contents", train: "Part", dev: "Part") -> None:
    """What the data look like, and how big the model is."""
    from rich.table import Column, Table

    from attentio.data.part import HELD_OUT
    from attentio.data.survey import survey
    from attentio.runs.build import parameters_of

    for part in (train, dev):
        say(f"{part.name}: {len(part.items):,} {part.unit}")
        if part.skipped:
            say(f"  skipped {len(part.skipped):,} bad lines; the first: {part.skipped[0]}")
    if contents.config.data.dev is None:
        say(
            f"  data.dev is not given: this part is not trained on, but validated on; {contents.path / HELD_OUT} has it"
        )
    found = survey(contents.config, train, dev)
    table = Table("", *(Column(said(heading), justify="right") for heading in ("train", "dev")))
    for row in found.rows:
        table.add_row(*map(said, row))
    console.print(table)
    for note in dict.fromkeys([train.header, dev.header, *found.notes]):
        if note:
            say(note)
    training = contents.config.training
    if training.warmup >= training.max_steps:
        say(
            f"training.warmup is {training.warmup:,} of {training.max_steps:,} updates: the learning rate climbs to "
            "the end, and little is learnt; lower it, or train longer"
        )
    parameters = parameters_of(contents.model)
    sizes = dict.fromkeys(
        f"{tokenizer.size:,}" for tokenizer in (contents.tokenizers.source, contents.tokenizers.target)
    )
    say(f"vocabulary: {', '.join(sizes)}; {parameters:,} parameters; writing to {contents.path}")


def _tell_origin(console: Any, say: Callable[[str], None], taken: "Initial") -> None:
    """Which weights are those of the model that training begins with, and why the others are not."""
    from rich.table import Table

    say(f"begins with the weights of {taken.origin}")
    headings = ("weights", "", "why")
    table = Table(*map(said, headings))
    table.add_row(said(f"{len(taken.taken):,} tensors"), said("taken"), said(f"{sum(taken.taken.values()):,} numbers"))
    rows = [(name, said("with new rows"), said(f"{count:,} more entries")) for name, count in taken.grown.items()]
    rows += [(name, said("new"), why) for name, why in taken.new.items()]
    rows += [(name, said("left out"), why) for name, why in taken.left_out.items() if name not in taken.new]
    for name, what, why in rows[:MOST_SHOWN]:
        table.add_row(name, what, said(why))
    console.print(table)
    if len(rows) > MOST_SHOWN:
        say(f"and {len(rows) - MOST_SHOWN:,} more, in init.json")
    if taken.symbols:
        say(f"new in the vocabulary: {_listed(taken.symbols)}")
    for note in taken.otherwise:
        say(note)


def _tell_lacking(say: Callable[[str], None], config: Config, symbols: list[str]) -> None:
    """Which symbols of the training data the vocabulary does not know."""
    if symbols and config.text.source.tokenizer == "pretrained":
        say(f"not in the vocabulary, which is kept: {_listed(symbols)}")
    elif symbols:
        say(f"not in the vocabulary, which is kept: {_listed(symbols)}; --text.extend true adds them")


def _listed(symbols: Sequence[str]) -> str:
    shown = " ".join(map(repr, symbols[:MOST_SHOWN])) + (" .." if len(symbols) > MOST_SHOWN else "")
    return f"{len(symbols):,} ({shown})"


@contextmanager
def _progress(console: Any, total: int, done: int) -> Iterator[Callable[["MetricsRow"], None]]:
    """Yields a function that takes each row of the records. Without a terminal, rows become plain lines."""

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    def line(row: "MetricsRow") -> str:
        return said(f"loss {row['loss']:.3f}  {row['target_tokens_per_second']:,.0f} tokens/s")

    if not console.is_terminal:
        yield lambda row: console.print(said(f"step {row['step']}/{total}") + f"  {line(row)}", highlight=False)
        return
    columns = (
        TextColumn(said("training")),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn(said("left")),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, redirect_stdout=False) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda row: bar.update(task, completed=int(row["step"]), description=line(row))
