"""Models that turn one sequence into another: their data, training, use and quality."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attentio.config.schema import Config
from attentio.data.part import Part
from attentio.data.spool import TextsOf
from attentio.errors import AttentioError
from attentio.runs import translation_quality
from attentio.runs.build import ENCODER_DECODER, Tokenizers, learn_tokenizer
from attentio.runs.directory import Contents
from attentio.runs.encoded import encoded
from attentio.runs.fields import NUMBERS_PER_TOKEN, Fields, Question
from attentio.runs.outputs import AttentionPicture, Translation
from attentio.runs.translator import Run
from attentio.runs.vocabulary import random_ids
from attentio.text.copying import Copying
from attentio.text.featured import FeaturedTokenizer
from attentio.text.features import BETWEEN, WithoutFeatures, joined

if TYPE_CHECKING:
    from attentio.data.kept import Cache
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected
    from attentio.runs.watched import Fixed
    from attentio.text.tokenizer import Tokenizer
    from attentio.training.loop import Corpus

blueprint = ENCODER_DECODER
run_class = Run
verb = "translate"
validation = translation_quality.validation
evaluate = translation_quality.evaluate
options: Mapping[str, frozenset[str]] = {
    "evaluate": frozenset({"beam", "max_length_ratio", "metrics", "calibrate"}),
    "look": frozenset({"beam"}),
}

WIDEST_BEAM = 50
"""Of what a server is asked."""

WATCHED_AMONG = 1000
"""Pairs of dev among which those are found whose attention is kept over the training."""

_SNIPPET = """\
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained({out!r}), AutoModelForSeq2SeqLM.from_pretrained({out!r})
    {decode}(model.generate(**tokenizer("...", return_tensors="pt"))[0], skip_special_tokens=True)"""


def example(folder: str) -> str:
    return f"translate {folder}"


def learn(config: Config, train: Part) -> "Tokenizers[Tokenizer]":
    texts = _texts(train)
    if config.text.shared:
        source = target = learn_tokenizer(config.text.source, TextsOf(texts, 0, 1))
    else:
        source = learn_tokenizer(config.text.source, TextsOf(texts, 0))
        target = learn_tokenizer(config.text.target, TextsOf(texts, 1))
    return Tokenizers(FeaturedTokenizer.of_pairs(source, train.items) if train.featured else source, target)


def keep(config: Config, train: Part, known: Tokenizers[Any]) -> Tokenizers[Any]:
    source, target = known.source.plain, known.target
    features = known.source.features if isinstance(known.source, FeaturedTokenizer) else ()
    if features and not train.featured:
        raise AttentioError(
            f"the model that is kept was trained with features, and {train.name} has none; give data.features"
        )
    if train.featured and config.text.source.tokenizer == "pretrained":
        raise AttentioError("a tokenizer from elsewhere knows no features of sources; leave data.features out")
    texts = _texts(train)
    if config.text.extend and target is source:
        source = target = source.extended(TextsOf(texts, 0, 1))
    elif config.text.extend:
        source, target = source.extended(TextsOf(texts, 0)), target.extended(TextsOf(texts, 1))
    if features and not config.text.extend:
        return known
    featured = FeaturedTokenizer.of_pairs(source, train.items, known=features) if train.featured else source
    return Tokenizers(featured, target, shared=known.shared)


def _texts(train: Part) -> Iterable[Sequence[str]]:
    """The pairs, their sources without features."""
    return WithoutFeatures(train.items) if train.featured else train.items


def corpus(
    config: Config, part: Part, tokenizers: Tokenizers[Any], *, seed: int, cache: "Cache | None" = None
) -> "Corpus":
    from attentio.data.batches import PairBatches
    from attentio.runs.redrawn import redrawn

    pairs = encoded(config, part.items, tokenizers, cache=cache)
    if config.text.source.bpe_dropout or config.text.of_target.bpe_dropout:
        return redrawn(config, part, tokenizers, pairs, seed=seed, cache=cache)
    return PairBatches(pairs, batch_tokens=config.training.batch_tokens, seed=seed)


def notes(contents: Contents, corpus: "Corpus", dev: Part) -> list[str]:
    """How many targets are longer than outputs may be: no training makes such outputs whole."""
    from attentio.data.batches import EncodedPairs, PairBatches

    if not isinstance(corpus, PairBatches):
        raise TypeError(f"corpus must be pairs, got {type(corpus).__name__}")
    run, decoding, data = Run.of(contents), contents.config.decoding, contents.config.data
    found = []
    of_dev = EncodedPairs.encode(dev.items, contents.tokenizers.source, contents.tokenizers.target)
    for name, pairs in ((data.train, corpus.pairs), (dev.name, of_dev)):
        longer = 0
        for start in range(0, len(pairs), 2**20):  # of lengths that may be mapped from a file
            some = slice(start, start + 2**20)
            sources = torch.from_numpy(pairs.source_lengths[some].astype(np.int64))
            most = run.longest(sources, decoding.max_length_ratio).numpy()
            longer += int((pairs.target_lengths[some] - 1 > most).sum())
        if longer:
            found.append(
                f"{name}: {longer:,} of {len(pairs):,} targets are longer than outputs may be, "
                f"{run.length_limit()}; --decoding.max_length_ratio lets them have more"
            )
    return found


def metrics(config: Config) -> list[str]:
    from attentio.evaluation.metrics import check_metrics

    check_metrics(config.evaluation.metrics, config.evaluation.bleu_tokenize)
    return [translation_quality.DEV_LOSS, *config.evaluation.metrics]


def look(run: Run, text: str, *, beam: int | None = None) -> AttentionPicture:
    """From the tokens of the translation to those of its source."""
    output = run.translate([text], beam=beam)[0]
    if output.attention is None:
        raise AttentioError(f"{run.path} was trained without attention, so there is none to look at")
    title, note = f"{run.read_source(text).replace(BETWEEN, ' ')} → {output.text}", f"score {output.score:.3f}"
    if len(run.members) > 1:
        note = f"{note}; the mean of what {len(run.members)} models look at"
    return AttentionPicture(title, note, output.attention, output.source_tokens, output.tokens, output.warnings())


def to_watch(contents: Contents, dev: Part, count: int) -> "Fixed":
    from attentio.runs.watched import LONGEST, Fixed

    tokenizers, where = contents.tokenizers, dev.name
    pairs = list({pair.source: pair for pair in islice(dev.items, WATCHED_AMONG)}.values())
    read = encoded(contents.config, pairs, tokenizers)
    short = (read.source_lengths <= LONGEST) & (read.target_lengths <= LONGEST)
    chosen = np.flatnonzero(short)[:count]
    if not len(chosen):
        raise AttentioError(
            f"training.watch: none of the first pairs of {where} has at most {LONGEST} tokens on each side; set it to 0"
        )
    batch = read.batch(chosen)
    copying = Copying(tokenizers.source, tokenizers.target) if contents.config.model.copy else None
    of_each = [copying.of(pairs[i].source) if copying else (tokenizers.source, tokenizers.target) for i in chosen]
    sides = ((batch.source, batch.source_lengths), (batch.target_output, batch.target_lengths))
    tokens, target_tokens = (
        [
            each[side].tokens(row[:length].tolist())
            for each, row, length in zip(of_each, ids, lengths.tolist(), strict=True)
        ]
        for side, (ids, lengths) in enumerate(sides)
    )
    return Fixed(batch.inputs, tokens, target_tokens, batch.target_output)


def example_inputs(run: Run) -> dict[str, torch.Tensor]:
    source = random_ids(run.tokenizers.source, rows=3, length=11)
    target = random_ids(run.tokenizers.target, rows=3, length=8)
    return {"source": source, "lengths": torch.tensor([11, 4, 7]), "target": target}


def question(run: Run, fields: Fields) -> Question:
    text = fields.checked_text()
    if run.features and (features := fields.text("features", "")):
        text = joined(text, features)
    beam = fields.whole("beam", None, least=1, most=WIDEST_BEAM) or run.config.decoding.beam
    n_best = fields.whole("n_best", 1, least=1, most=WIDEST_BEAM) or 1
    if n_best > beam:
        raise AttentioError(f"n_best must be at most the beam, got {n_best} and a beam of {beam}")
    attention = fields.flag("attention")
    fields.end()
    return Question(text=text, options={"beam": beam, "n_best": n_best, "attention": attention}, together=True)


def work(run: Run, question: Question) -> int:
    tokens, options = run.most_tokens(question.text), question.options
    weights = options["attention"] * options["n_best"] * tokens**2 // 4  # source and target share the tokens
    return int(options["beam"] * tokens + weights // NUMBERS_PER_TOKEN)


def answers(run: Run, questions: Sequence[Question], each_step: Callable[[], None]) -> list[dict[str, Any]]:
    options = questions[0].options
    texts = [question.text for question in questions]
    return [
        {
            "text": text,
            "unknown": [each._asdict() for each in found[0].unknown],
            "translations": [_told(one, attention=options["attention"]) for one in found],
        }
        for text, found in zip(texts, run.candidates(texts, **options, each_step=each_step), strict=True)
    ]


def _told(one: Translation, *, attention: bool) -> dict[str, Any]:
    said = {name: getattr(one, name) for name in ("text", "tokens", "source_tokens", "score", "finished")}
    if attention:
        said["attention"] = None if one.attention is None else one.attention.tolist()
        if one.copied is not None:
            said["copied"] = one.copied
    return said


def change(run: Run, text: str, change: "Change", each_step: Callable[[], None]) -> "Changed":
    return run.change(text, change, each_step=each_step)


def change_work(run: Run, text: str) -> int:
    return (2 * run.config.decoding.beam + 3) * run.most_tokens(text)  # two searches, and three outputs said again


def to_try(text: str) -> str:
    return text


def live(run: Run, text: str, each_step: Callable[[], None]) -> "Inspected":
    return run.inspect(text, each_step=each_step)


def transformers_snippet(folder: Path) -> str:
    decode = "tokenizer.decode"
    if (folder / "target" / "tokenizer.json").is_file():
        decode = f"AutoTokenizer.from_pretrained({(folder / 'target').as_posix()!r}).decode"
    return _SNIPPET.format(out=folder.as_posix(), decode=decode)
