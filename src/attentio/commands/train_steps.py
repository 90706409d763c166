"""The steps of a training, from the data that were read to the last update. Every rank takes all of them."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import track
from torch import nn

from attentio import system
from attentio.commands.training_told import introduce, progress, tell_lacking, tell_origin
from attentio.commands.words import said
from attentio.config.schema import Config
from attentio.config.uses import without_use
from attentio.data.kept import Cache
from attentio.data.part import Part
from attentio.errors import AttentioError
from attentio.models.own import OwnCode
from attentio.runs.begin import prepare
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.distillation import check_vocabularies, read_teachers, with_lessons
from attentio.runs.initial import check_known, lacking, read_origin, take_weights
from attentio.runs.own_code import tell_changes
from attentio.runs.sums import TEACHERS, check_teachers, sums, weights_sum
from attentio.runs.tasks import task_of
from attentio.runs.watched import Watched
from attentio.training.checkpoint import Checkpoints
from attentio.training.distillation import Teaching
from attentio.training.footprint import check_training_fits
from attentio.training.freezing import freeze
from attentio.training.loop import Corpus, Progress, Trainer
from attentio.training.ranks import precision_on, together
from attentio.training.records import MetricsRow, Records, write_memory


@dataclass(frozen=True)
class Asked:
    """The training that is asked for, and who takes part in it.

    own: the user's own code that `config` names. allow_code: the files that it may come from.
    """

    config: Config
    folder: Path
    fabric: Fabric
    console: Console
    own: OwnCode
    allow_code: Sequence[str]

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes and tells."""
        return self.fabric.is_global_zero

    def say(self, text: str) -> None:
        self.console.print(said(text), markup=False, soft_wrap=True)


class Ready(NamedTuple):
    """What the loop works with. teachers: the models whose probabilities are learnt."""

    contents: Contents
    corpus: Corpus
    teachers: list[nn.Module]
    dev: Part


def made_ready(asked: Asked, train: Part, dev: Part, *, resuming: bool) -> Ready:
    """The run directory, the model as it begins, and what it learns from."""
    config, folder, fabric = asked.config, asked.folder, asked.fabric
    with together(fabric):
        origin = None if resuming or config.init is None else read_origin(config.init, asked.allow_code)
        teachers = read_teachers(config, asked.allow_code)
        if asked.first:
            lessons = _lessons(asked, train)
            known = next((one.tokenizers for one in (origin, *teachers) if one is not None), None)
            tokenizers = prepare(folder, config, train, dev, resuming=resuming, lessons=lessons, known=known)
    with together(fabric):
        if not asked.first:
            if not (folder / "config.yaml").is_file():
                raise AttentioError(f"{folder} of rank 0 is not seen by the others; choose a --run that all share")
            lessons = _lessons(asked, train)
            tokenizers = task_of(config).blueprint.load_tokenizers(folder / "tokenizer", config)
        for teacher in teachers:
            check_vocabularies(teacher, tokenizers, str(folder))
        contents = _begun(asked, tokenizers, origin, train, dev)
        corpus = _corpus(asked, tokenizers, lessons)
        if not resuming and (config.init or teachers):
            check_known(corpus, tokenizers, config)
        _tell_where(asked)
        models = [teacher.model.to(fabric.device) for teacher in teachers]
        check_training_fits(contents.model, corpus, batch_tokens=config.training.batch_tokens, beside=models)
        if asked.first:
            for note in task_of(config).notes(contents, corpus, dev):
                asked.say(note)
    return Ready(contents, corpus, models, dev)


def _lessons(asked: Asked, train: Part) -> Part:
    return with_lessons(
        asked.config,
        train,
        asked.folder,
        device=asked.fabric.device,
        say=asked.say,
        console=asked.console,
        allow_code=asked.allow_code,
    )


def _begun(asked: Asked, tokenizers: Tokenizers[Any], origin: Contents | None, train: Part, dev: Part) -> Contents:
    """The model with its first weights, some of them those of the model that training goes on from."""
    config, folder = asked.config, asked.folder
    model = task_of(config).blueprint.build_model(config.model, tokenizers, seed=config.training.seed, own=asked.own)
    contents = Contents(folder, config, tokenizers, model)
    if asked.first:
        introduce(asked.console, asked.say, contents, train, dev)
    if origin is not None:
        taken = take_weights(origin, contents)
        if asked.first:
            taken.write(folder)
            tell_origin(asked.console, asked.say, taken)
            tell_lacking(asked.say, config, lacking(config, train, tokenizers))
    if config.training.freeze:
        asked.say(f"training.freeze: {freeze(model, config.training.freeze):,} numbers stay as they are")
    return contents


def _corpus(asked: Asked, tokenizers: Tokenizers[Any], lessons: Part) -> Corpus:
    cache = Cache(
        asked.folder / "tokens", lambda items, total: track(items, said("encoding"), total, console=asked.console)
    )
    config = asked.config
    return task_of(config).corpus(config, lessons, tokenizers, seed=config.training.seed, cache=cache)


def _tell_where(asked: Asked) -> None:
    fabric, options = asked.fabric, asked.config.training
    if fabric.device.type != "cpu":
        asked.say(f"on {fabric.device}; --device cpu trains on the CPU")
    if precision_on(fabric.device, options.precision) != options.precision:
        asked.say("this processor has no instructions for bfloat16: products are computed in 32 bits, in more time")
    if fabric.world_size > 1:
        asked.say(f"{fabric.world_size} processes, each with {options.accumulate} of the batches of an update")


def made_trainer(asked: Asked, ready: Ready, checkpoints: Checkpoints) -> Trainer:
    config = asked.config
    with together(asked.fabric):
        validate = task_of(config).validation(ready.contents, ready.dev, asked.say)
        facts = sums(asked.folder, config) | {"code_sha256": dict(asked.own.sha256)}
        facts[TEACHERS] = [weights_sum(teacher) for teacher in ready.teachers]
    weight = config.training.distill_weight
    return Trainer(
        ready.contents.model,
        config.training,
        checkpoints,
        fabric=asked.fabric,
        corpus=ready.corpus,
        never=ready.contents.tokenizers.target.pad,
        teaching=Teaching(ready.teachers, weight=weight) if ready.teachers else None,
        facts=facts,
        validate=validate,
    )


def resume(asked: Asked, trainer: Trainer, checkpoints: Checkpoints) -> None:
    last = asked.folder / "last"
    lost = "" if checkpoints.has("last") else f", the newest whole checkpoint: {last} is missing"
    with together(asked.fabric):
        check_teachers(asked.config, trainer.facts, checkpoints.load("last"))
        trainer.resume()
    if asked.own.sha256:
        tell_changes(asked.own, checkpoints.load("last").facts, asked.folder)
    asked.say(f"going on after step {trainer.progress.step}{lost}")


def updated(asked: Asked, ready: Ready, trainer: Trainer, metrics: Sequence[str]) -> tuple[Progress, list[int]]:
    """All updates, recorded in the run directory; how far they came, and the signals that asked for the end.

    metrics: the columns of the records that are of validations.
    """
    first, options, after = asked.first, asked.config.training, trainer.progress.step
    with (
        system.noted_signals() as received,
        Records(asked.folder, metrics, after=after) if first else nullcontext() as records,
        progress(asked.console, trainer.total, after) as show,
    ):

        def record(row: MetricsRow) -> None:
            if records is not None:
                records.write(row)
            show(row, trainer.total)

        watch = None
        if first and options.watch and not without_use(asked.config, ["training.watch"]):
            fixed = task_of(asked.config).to_watch(ready.contents, ready.dev, options.watch)
            watch = Watched(asked.folder, ready.contents.model, fixed, every=options.validate_every, after=after)
        reached = trainer.run(record, should_stop=lambda: bool(received), watch=watch)
    if first:
        write_memory(asked.folder)
    return reached, received
