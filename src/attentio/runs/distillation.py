"""Learning from teachers: models that are trained already, whose outputs or probabilities a new one learns.

Several teachers answer as one, as everywhere: at each token their log-probabilities are averaged.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from attentio import system
from attentio.config.schema import Config
from attentio.data.lines import check_text
from attentio.data.pairs import Pair, read_pairs
from attentio.data.part import Part
from attentio.data.texts import read_texts
from attentio.errors import AttentioError
from attentio.files import read_json
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.load import load, read
from attentio.runs.own_code import Files
from attentio.runs.places import runs_in
from attentio.runs.tasks import AnyRun
from attentio.runs.translator import Run
from attentio.runs.vocabulary import identity
from attentio.text.features import read_featured
from attentio.text.protocol import AnyTokenizer

if TYPE_CHECKING:
    from rich.console import Console

LESSONS, FACTS = "distilled.jsonl", "distilled.json"
"""Where a run keeps the pairs that teachers made, and what they were made of."""

TRIED_FIRST = 256
"""Texts after which a teacher that ends none of its outputs is refused."""


def read_teachers(config: Config, allow_code: Files = ()) -> list[Contents]:
    """The teachers whose probabilities are learnt. allow_code: as of `load`.

    Raises AttentioError for a kind of model that is not the one to be trained, and for other vocabularies.
    """
    if config.teacher is None or not config.learns_tokens:
        return []
    found = [read(one, device="cpu", allow_code=allow_code)._replace(path=Path(one)) for one in runs_in(config.teacher)]
    for model in (config.model, *(one.config.model for one in found)):
        if model.copy:
            raise AttentioError(
                "teacher: with model.copy there are tokens of the source alone, of which others know nothing; give "
                "--training.distill sequences"
            )
    for one in found:
        if one.config.model.type != config.model.type:
            raise AttentioError(
                f"teacher: {one.path} holds a model of type {one.config.model.type}, and this one is "
                f"{config.model.type}; give a teacher of that type"
            )
        check_vocabularies(one, found[0].tokenizers, str(found[0].path), teaches=True)
    return found


def check_vocabularies(
    teacher: Contents, tokenizers: Tokenizers[AnyTokenizer], whose: str, *, teaches: bool = False
) -> None:
    """AttentioError where a teacher reads or says other tokens; `whose` are the others, teaches: another teacher's."""
    if teaches:  # they could not make outputs together either
        remedy = "give teachers of the same vocabularies"
    else:
        remedy = "give one that was trained with the same vocabularies"
        if teacher.config.model.type == "encoder-decoder":
            remedy += ", or --training.distill sequences"
    for side in ("source", "target"):
        theirs, ours = getattr(teacher.tokenizers, side), getattr(tokenizers, side)
        if identity(theirs) != identity(ours):
            raise AttentioError(f"teacher: the {side} vocabulary of {teacher.path} is not that of {whose}; {remedy}")


def with_lessons(
    config: Config,
    train: Part,
    folder: Path,
    *,
    device: str | torch.device,
    say: Callable[[str], None],
    console: "Console",
    allow_code: Files = (),
) -> Part:
    """What is trained on: where the configuration asks for it, with targets that the teachers made.

    For `training.distill` sequences they replace those of the training data; for `data.unlabelled` they are the
    targets of its texts. They are made once, and kept in the folder.

    console: where a bar shows how far they are. allow_code: as of `load`.

    Raises AttentioError for teachers that do not translate, and where the kept ones were made of other data.
    """
    whole = config.training.distill == "sequences"
    if config.teacher is None or not (whole or config.data.unlabelled):
        if (folder / FACTS).is_file():
            raise AttentioError(
                f"{folder / LESSONS} was learnt from too, what teachers say of data.unlabelled; give that again, or "
                f"choose another --run"
            )
        return train
    if train.unit != "pairs":
        raise AttentioError("training.distill sequences and data.unlabelled are for model.type encoder-decoder")
    sources = list(dict.fromkeys(pair.source for pair in train.items)) if whole else []
    texts: Sequence[str] = ()
    if spec := config.data.unlabelled:
        read_in = read_texts(spec, normalize=config.text.normalize, bad_lines=config.data.bad_lines)
        texts = read_in.documents
        for text in texts:
            check_text(text, f"{spec}: {text[:40]!r}")
        if read_in.skipped:
            say(f"{spec}: skipped {len(read_in.skipped):,} bad lines; the first: {read_in.skipped[0]}")
        sources += [read_featured(text, config.text.normalize) for text in texts] if train.featured else texts
    sources = list(dict.fromkeys(sources))
    digest = hashlib.sha256("\n".join(sources).encode()).hexdigest()
    facts = {"teacher": config.teacher, "sources": len(sources), "sha256": digest}
    if (folder / FACTS).is_file():
        if read_json(folder / FACTS) != facts:
            raise AttentioError(
                f"{folder / LESSONS} was made of other texts, or by other teachers; choose another --run"
            )
    else:
        found = load(config.teacher, device=device, allow_code=allow_code)
        teacher = _translator(config.teacher, found, featured=train.featured)
        pair = next((text for text in texts if "\t" in text), None)
        if pair and not any("\t" in known.source for known in train.items):
            raise AttentioError(f"{spec}: a tab in {pair[:60]!r}; data.unlabelled has sources alone, one a line")
        say(f"{config.teacher} answers {len(sources):,} texts before training begins")
        lessons = _lessons(config.teacher, teacher, sources, console)
        Part(LESSONS, lessons, (), "pairs").write(folder / LESSONS)
        system.replace_text(folder / FACTS, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    made = read_pairs(str(folder / LESSONS), normalize="none").pairs
    say(f"{len(made):,} of {len(sources):,} texts have a whole output of {config.teacher}, in {folder / LESSONS}")
    return replace(train, items=made if whole else [*train.items, *made])


def _translator(teacher: str, run: AnyRun, *, featured: bool) -> Run:
    """The teacher, which must make outputs of the data's sources."""
    if not isinstance(run, Run):
        raise AttentioError(f"teacher: {teacher} translates nothing; give one of type encoder-decoder")
    if bool(run.features) != featured:
        one, other = ("the data", teacher) if featured else (teacher, "the data")
        raise AttentioError(f"teacher: {one} has features of sources, and {other} has none; give another teacher")
    return run


def _lessons(teacher: str, run: Run, sources: list[str], console: "Console") -> list[Pair]:
    """The best output of each source; what is cut off or empty teaches nothing."""
    from rich.progress import Progress

    found: list[Pair] = []
    with Progress(console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal) as bar:
        task = bar.add_task("teaching", total=len(sources))
        for part in (sources[:TRIED_FIRST], sources[TRIED_FIRST:]):
            outputs = run.candidates(part, attention=False, progress=lambda done: bar.advance(task, done))
            found += [
                Pair(source, best.text)
                for source, (best, *_) in zip(part, outputs, strict=True)
                if best.finished and best.text.strip()
            ]
            if not found:
                raise AttentioError(
                    f"teacher: {teacher} made no whole output of {len(part):,} texts; give another teacher"
                )
    return found
