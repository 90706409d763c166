"""Models that label texts or their words: their data, training, use and quality."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attentio.config.schema import Config
from attentio.data.part import Part
from attentio.errors import AttentioError, harmless
from attentio.runs import documents
from attentio.runs.build import LABELLER, Tokenizers, learn_tokenizer
from attentio.runs.directory import Contents
from attentio.runs.fields import Fields, Question
from attentio.runs.labeller import LabelRun
from attentio.runs.vocabulary import random_ids
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import Tensor, nn

    from attentio.data.kept import Cache
    from attentio.evaluation.report import Evaluation
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected
    from attentio.runs.watched import Fixed
    from attentio.training.loop import Corpus, Validation

blueprint = LABELLER
run_class = LabelRun
verb = "label"
options: Mapping[str, frozenset[str]] = {"evaluate": frozenset(), "look": frozenset({"layer", "head"})}

look = documents.look


def example(folder: str) -> str:
    return f"label {folder}"


def learn(config: Config, train: Part) -> Tokenizers[Tokenizer]:
    source = learn_tokenizer(config.text.source, [pair.source for pair in train.items])
    return Tokenizers(source, _labels(train))


def keep(config: Config, train: Part, known: Tokenizers[Any]) -> Tokenizers[Any]:
    """Its tokens; and its labels, if it had any of these, with the others after them."""
    source = known.source
    if config.text.extend:
        source = source.extended([pair.source for pair in train.items])
    theirs, ours = known.target, _labels(train)
    shared = set(_ordinary(theirs)).intersection(_ordinary(ours))
    labels = ours if theirs is known.source or not shared else theirs.extended(_texts(train))
    return Tokenizers(source, labels)


def _ordinary(labels: AnyTokenizer) -> list[str]:
    return labels.tokens(sorted(set(range(labels.size)) - set(labels.special_ids)))


def _texts(train: Part) -> list[str]:
    return [pair.target for pair in train.items]


def _labels(train: Part) -> Tokenizer:
    return Tokenizer.train(_texts(train), kind="whitespace")


def corpus(
    config: Config, part: Part, tokenizers: Tokenizers[AnyTokenizer], *, seed: int, cache: "Cache | None" = None
) -> "Corpus":
    """Labelled texts are few: they are always held in memory."""
    from attentio.data.labelled import LabelledTexts

    return LabelledTexts(
        part.items,
        tokenizers.source,
        tokenizers.target,
        each_word=config.model.labels == "words",
        block=config.text.block,
        batch_tokens=config.training.batch_tokens,
        seed=seed,
    )


def notes(contents: Contents, corpus: "Corpus", dev: Part) -> list[str]:
    """How many labels there are, and which of dev no model can know."""
    labels, where = contents.tokenizers.target, dev.name
    ordinary = sorted(set(range(labels.size)) - set(labels.special_ids))
    told = [f"{len(ordinary):,} labels: {' '.join(labels.tokens(ordinary[:20]))}{' ..' if len(ordinary) > 20 else ''}"]
    if lacking := sorted({label for pair in dev.items for label in pair.target.split()} - set(labels.tokens(ordinary))):
        told.append(f"{where} has labels that a model of {contents.config.data.train} cannot know: {lacking[0]}, ..")
    return told


def metrics(config: Config) -> list[str]:
    return ["accuracy", "macro-f1"]


def validation(contents: Contents, dev: Part, say: Callable[[str], None]) -> "Callable[[nn.Module], Validation]":
    """Labels of a fixed choice of the dev set; macro-F1 decides which checkpoint is the best."""
    from attentio.evaluation.labels import label_scores
    from attentio.training.loop import Validation

    training = contents.config.training
    chosen = np.random.default_rng(training.seed).permutation(len(dev.items))[: training.validation_size]
    pairs = [dev.items[i] for i in sorted(chosen)]
    expected = [pair.target.split() for pair in pairs]

    def validate(_: "nn.Module") -> Validation:
        found = [one.labels for one in LabelRun.of(contents).label([pair.source for pair in pairs])]
        scores = label_scores(found, expected)
        summary = ", ".join(f"{one.name} {one.value:.2f}" for one in scores)
        say(f"dev, {len(pairs)} labelled: {summary}")
        for pair, labels in list(zip(pairs, found, strict=True))[: training.samples]:
            say(harmless(f"  {pair.source} → {' '.join(labels)}  ({pair.target})"))
        return Validation(scores[1].value, {one.name: one.value for one in scores[:2]})

    return validate


def evaluate(run: LabelRun, part: Part, bar: "Progress") -> "Evaluation":
    """Quality of the labels, and which are said for which."""
    from attentio.evaluation.labels import label_confusions, label_scores
    from attentio.evaluation.report import Evaluation, Output

    sources = [pair.source for pair in part.items]
    expected = [pair.target.split() for pair in part.items]
    task = bar.add_task("labelling", total=None)
    started = time.perf_counter()
    found = run.label(sources, progress=lambda done: bar.advance(task, done))
    seconds = time.perf_counter() - started
    labels = [one.labels for one in found]
    cut = sum(one.cut for one in found)
    notes: list[str] = []
    if cut:
        notes.append(f"of {cut:,} texts only the beginning was read, text.block ({run.config.text.block}) tokens")
    return Evaluation(
        title="quality of the labels",
        summary=f"{len(sources):,} texts, {sum(map(len, labels)):,} labels, {seconds:.1f} s",
        scores=label_scores(labels, expected),
        facts={"texts": len(sources), "labels": sum(map(len, labels)), "cut_off": cut, "seconds": seconds},
        notes=notes,
        outputs=[
            Output(
                pair.source,
                " ".join(one.labels),
                one.labels == wanted,
                float(np.log(one.probabilities).mean()),
                [pair.target],
            )
            for pair, one, wanted in zip(part.items, found, expected, strict=True)
        ],
        confusions=label_confusions(labels, expected),
    )


def to_watch(contents: Contents, dev: Part, count: int) -> "Fixed":
    from attentio.runs.watched import fixed_rows

    run = LabelRun.of(contents)
    return fixed_rows((run.encode(pair.source) for pair in dev.items), run.tokenizer, count=count, lengths=True)


def example_inputs(run: LabelRun) -> "dict[str, Tensor]":
    return {"tokens": random_ids(run.tokenizer, rows=3, length=11), "lengths": torch.tensor([11, 4, 7])}


def question(run: LabelRun, fields: Fields) -> Question:
    text = fields.checked_text()
    fields.end()
    return Question(text=text, together=True)


def work(run: LabelRun, question: Question) -> int:
    return len(run.tokenizer.encode(run.read(question.text))) + 2


def answers(run: LabelRun, questions: Sequence[Question], each_step: Callable[[], None]) -> list[dict[str, Any]]:
    each_step()  # a reading is one step
    texts = [question.text for question in questions]
    return [
        {"text": text, **{name: getattr(one, name) for name in ("words", "labels", "probabilities", "cut")}}
        | {"unknown": [each._asdict() for each in one.unknown]}
        for text, one in zip(texts, run.label(texts), strict=True)
    ]


def change(run: LabelRun, text: str, change: "Change", each_step: Callable[[], None]) -> "Changed":
    return run.change(text, change, each_step=each_step)


def change_work(run: LabelRun, text: str) -> int:
    return 2 * len(run.encode(text))


def to_try(text: str) -> str:
    return text


def live(run: LabelRun, text: str, each_step: Callable[[], None]) -> "Inspected":
    return run.inspect(text, each_step=each_step)


def transformers_snippet(folder: Path) -> str:
    raise AttentioError("a labeller cannot be written for transformers; export it as a bundle")
