"""Models that turn one sequence into another: their data, training, use and quality."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attentio.config.schema import Config
from attentio.data.part import Part
from attentio.data.spool import TextsOf
from attentio.errors import AttentioError, harmless
from attentio.runs.build import ENCODER_DECODER, Tokenizers, learn_tokenizer
from attentio.runs.directory import Contents
from attentio.runs.fields import NUMBERS_PER_TOKEN, Fields, Question
from attentio.runs.outputs import AttentionPicture, Translation
from attentio.runs.training_data import seen_symbols
from attentio.runs.translator import Run
from attentio.runs.vocabulary import random_ids
from attentio.text.copying import Copying
from attentio.text.featured import FeaturedTokenizer
from attentio.text.features import BETWEEN, WithoutFeatures, joined, parted
from attentio.text.unknown import told

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import nn

    from attentio.data.batches import EncodedPairs
    from attentio.data.kept import Cache
    from attentio.data.pairs import Example, Pair
    from attentio.evaluation.by_frequency import FrequencyBin
    from attentio.evaluation.report import Evaluation
    from attentio.runs.changed import Change, Changed
    from attentio.runs.inspected import Inspected
    from attentio.runs.watched import Fixed
    from attentio.text.tokenizer import Tokenizer
    from attentio.training.loop import Corpus, Validation

blueprint = ENCODER_DECODER
run_class = Run
verb = "translate"
options: Mapping[str, frozenset[str]] = {
    "evaluate": frozenset({"beam", "max_length_ratio", "metrics", "calibrate"}),
    "look": frozenset({"beam"}),
}

WIDEST_BEAM = 50
"""Of what a server is asked."""

WATCHED_AMONG = 1000
"""Pairs of dev among which those are found whose attention is kept over the training."""

FEWEST_TOLD_APART = 20
"""Sources of an evaluation; of fewer it says nothing which symbols are rare."""

DEV_LOSS = "dev_loss"
"""Nats a token, teacher-forced and without label smoothing."""

LONGEST_SAMPLE = 200
"""Characters of a text that is shown: what has learnt little repeats itself to the limit of its outputs."""

_SNIPPET = """\
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained("{out}"), AutoModelForSeq2SeqLM.from_pretrained("{out}")
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

    pairs = _encoded(config, part.items, tokenizers, cache=cache)
    if config.text.source.bpe_dropout or config.text.of_target.bpe_dropout:
        return redrawn(config, part, tokenizers, pairs, seed=seed, cache=cache)
    return PairBatches(pairs, batch_tokens=config.training.batch_tokens, seed=seed)


def _encoded(
    config: Config, pairs: "Sequence[Pair]", tokenizers: Tokenizers[Any], *, cache: "Cache | None" = None
) -> "EncodedPairs":
    """As the model reads and says them: with `model.copy`, their unknown symbols too."""
    from attentio.data.batches import EncodedPairs

    if not config.model.copy:
        return EncodedPairs.encode(pairs, tokenizers.source, tokenizers.target, cache=cache)
    copying = Copying(tokenizers.source, tokenizers.target)
    return EncodedPairs(
        sources=[copying.source_ids(pair.source) for pair in pairs],
        targets=[copying.said_ids(pair.target, pair.source) for pair in pairs],
    )


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
    return [DEV_LOSS, *config.evaluation.metrics]


def validation(contents: Contents, dev: Part, say: Callable[[str], None]) -> "Callable[[nn.Module], Validation]":
    """Quality of greedy decoding on a fixed choice of the dev set, and some outputs to look at.

    Also the mean loss of the right tokens of its references, each after the right ones before it: no quality, but
    beside the training's loss it tells learning from remembering.
    """
    from attentio.data.batches import PairBatches
    from attentio.data.pairs import Pair, group_references
    from attentio.evaluation.language import score_tokens
    from attentio.evaluation.metrics import score
    from attentio.training.loop import Validation

    training, evaluation = contents.config.training, contents.config.evaluation
    examples = group_references(dev.items)
    chosen = np.random.default_rng(training.seed).permutation(len(examples))[: training.validation_size]
    examples = [examples[i] for i in sorted(chosen)]
    sources = [example.source for example in examples]
    pairs = [Pair(example.source, reference) for example in examples for reference in example.references]
    encoded = _encoded(contents.config, pairs, contents.tokenizers)
    batches = PairBatches(encoded, batch_tokens=training.batch_tokens, seed=training.seed)

    def validate(_: "nn.Module") -> Validation:
        loss = score_tokens(contents.model, (batches.load(one, 0) for one in batches.epoch_batches(0))).mean
        found = Run.of(contents).candidates(sources, beam=1, attention=False)
        outputs = [best[0].text for best in found]
        scores = score(
            outputs,
            [example.references for example in examples],
            metrics=evaluation.metrics,
            units=contents.config.units,
            bleu_tokenize=evaluation.bleu_tokenize,
        )
        summary = ", ".join([*(f"{one.name} {one.value:.2f}" for one in scores), f"loss {loss:.3f}"])
        cut = sum(not best[0].finished for best in found)
        say(f"dev, {len(examples)} decoded greedily: {summary}" + (f"; {cut:,} outputs are cut off" if cut else ""))
        for example, output in list(zip(examples, outputs, strict=True))[: training.samples]:
            source, said, expected = map(_beginning, (example.source, output, example.references[0]))
            say(harmless(f"  {source.replace(BETWEEN, ' ')} → {said}  ({expected})"))
        goal = scores[0].value if scores[0].higher_is_better else -scores[0].value
        return Validation(goal, {DEV_LOSS: loss, **{one.name: one.value for one in scores}})

    return validate


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST_SAMPLE else f"{text[:LONGEST_SAMPLE]}.."


def evaluate(
    run: Run,
    part: Part,
    bar: "Progress",
    *,
    beam: int | None = None,
    max_length_ratio: float | None = None,
    metrics: list[str] | None = None,
    calibrate: bool = False,
) -> "Evaluation":
    """Quality of free decoding, also by the length of the sources, and by how often their symbols, and those of the
    targets, were seen in training. calibrate: also the outputs' confidence.
    """
    from attentio.data.pairs import group_references
    from attentio.evaluation.by_length import by_source_length
    from attentio.evaluation.calibration import calibrate as fitted
    from attentio.evaluation.confusions import confusions
    from attentio.evaluation.metrics import check_metrics, score, tokens_of
    from attentio.evaluation.report import Evaluation, Output

    config = run.config.evaluation
    metrics, beam = metrics or [*config.metrics], beam or run.config.decoding.beam
    check_metrics(metrics, config.bleu_tokenize)
    examples = group_references(part.items)
    references = [example.references for example in examples]
    task = bar.add_task("decoding", total=len(examples))
    started = time.perf_counter()
    found = run.candidates(
        [example.source for example in examples],
        beam=beam,
        max_length_ratio=max_length_ratio,
        attention=False,
        progress=lambda done: bar.advance(task, done),
    )
    seconds = time.perf_counter() - started
    outputs = [best[0] for best in found]
    texts = [output.text for output in outputs]
    lengths = [len(output.source_tokens) - 1 for output in outputs]
    unknown = [
        told(one.unknown, f"source {each.source!r}") for one, each in zip(outputs, examples, strict=True) if one.unknown
    ]
    cut = sum(not output.finished for output in outputs)
    ratio = run.config.decoding.max_length_ratio if max_length_ratio is None else max_length_ratio
    # A beam ends in something short rather than be cut, so what cannot be said whole is counted by itself.
    most = run.longest(torch.tensor(lengths) + 1, ratio).tolist()
    shortest = [min(map(len, run.tokenizers.target.encode_all(each))) for each in references]
    longer = sum(length > limit for length, limit in zip(shortest, most, strict=True))
    how: dict[str, Any] = {"units": run.config.units, "bleu_tokenize": config.bleu_tokenize}
    split = tokens_of(run.config.units)
    said = [
        Output(each.source, one.text, split(one.text) in map(split, each.references), one.score, each.references)
        for each, one in zip(examples, outputs, strict=True)
    ]
    notes = _notes(run, len(part.items), len(examples), unknown, (cut, longer), ratio)
    if "per" in metrics:
        notes.append("per counts characters" if run.config.units == "characters" else "per counts words")
    by_rarest: list[FrequencyBin] = []
    try:
        if len(examples) >= FEWEST_TOLD_APART:
            by_rarest = _by_frequency(run, examples, texts, metric=metrics[0], **how)
    except AttentioError as error:
        notes.append(f"not told apart by what was rare in training: {error}")
    calibration = None
    if calibrate:
        calibration = fitted([one.log_prob for one in outputs], [each.right for each in said])
        notes.append(
            f"confidence that a whole output is right, fitted on {calibration.lines:,} of which {calibration.right:,} "
            f"are: temperature {calibration.temperature:.3f}; expected calibration error there "
            f"{calibration.error_before:.4f} before and {calibration.error_after:.4f} after"
        )
    return Evaluation(
        title="quality of free decoding",
        summary=f"{len(examples):,} sources, beam {beam}, {seconds:.1f} s",
        scores=score(texts, references, metrics=metrics, margins=True, **how),
        by_source_length=by_source_length(lengths, texts, references, metric=metrics[0], **how),
        by_frequency=by_rarest,
        facts={
            "sources": len(examples),
            "beam": beam,
            "units": run.config.units,
            "sources_with_unknown": len(unknown),
            "outputs_cut_off": cut,
            "targets_too_long": longer,
            "seconds": seconds,
            "output_tokens_per_second": sum(len(output.tokens) for output in outputs) / seconds,
        },
        notes=notes,
        calibration=calibration,
        outputs=said,
        confusions=confusions(texts, references, units=run.config.units),
    )


def _by_frequency(run: Run, examples: "Sequence[Example]", outputs: Sequence[str], **how: Any) -> "list[FrequencyBin]":
    """Scores by the rarest symbol of the source, and by that of the target: of several, of the one with the least rare.

    Raises AttentioError where that is not known of the training data.
    """
    from attentio.evaluation.by_frequency import by_frequency, times_of_rarest

    source, target = seen_symbols(run.config, run.path)
    references = [one.references for one in examples]
    sources = [parted(one.source)[0] if run.features else one.source for one in examples]
    of_sources = [times_of_rarest(each, source.times, source.split) for each in sources]
    of_targets = [max(times_of_rarest(each, target.times, target.split) for each in several) for several in references]
    return [
        *by_frequency(of_sources, outputs, references, symbol=source.symbol, **how),
        *by_frequency(of_targets, outputs, references, symbol=target.symbol, **how),
    ]


def _notes(run: Run, lines: int, sources: int, unknown: list[str], limited: tuple[int, int], ratio: float) -> list[str]:
    """What the scores do not say.

    unknown: a line for each source that holds something unknown. limited: outputs cut off, and targets too long.
    """
    notes = []
    if sources < lines:
        notes.append(
            f"{sources:,} sources of {lines:,} lines: repeated sources count once, any of their targets is right"
        )
    if unknown:
        notes.append(f"{len(unknown):,} sources hold something unknown; the first: {unknown[0]}")
    cut, longer = limited
    if cut or longer:
        notes.append(
            f"{cut:,} outputs are cut off, {longer:,} targets are too long: an output may have "
            f"{run.length_limit(ratio)}; --max-length-ratio lets it have more"
        )
    return notes


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

    tokenizers = contents.tokenizers
    pairs = list({pair.source: pair for pair in islice(dev.items, WATCHED_AMONG)}.values())
    encoded = _encoded(contents.config, pairs, tokenizers)
    short = (encoded.source_lengths <= LONGEST) & (encoded.target_lengths <= LONGEST)
    chosen = np.flatnonzero(short)[:count]
    if not len(chosen):
        raise AttentioError(
            f"training.watch: none of the first pairs of {dev.name} has at most {LONGEST} tokens on each side; "
            f"set it to 0"
        )
    batch = encoded.batch(chosen)
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
        decode = f'AutoTokenizer.from_pretrained("{folder / "target"}").decode'
    return _SNIPPET.format(out=folder, decode=decode)
