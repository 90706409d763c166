"""Quality of what one sequence is turned into: on the way of a training, and of a trained model on held-out data."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attentio.data.part import Part
from attentio.errors import AttentioError, harmless
from attentio.runs.directory import Contents
from attentio.runs.encoded import encoded
from attentio.runs.outputs import Translation
from attentio.runs.training_data import seen_symbols
from attentio.runs.translator import Run
from attentio.text.features import BETWEEN, parted
from attentio.text.unknown import told

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import nn

    from attentio.data.pairs import Example
    from attentio.evaluation.by_frequency import FrequencyBin
    from attentio.evaluation.calibration import Calibration
    from attentio.evaluation.metrics import Units
    from attentio.evaluation.report import Evaluation, Output
    from attentio.training.loop import Validation

FEWEST_TOLD_APART = 20
"""Sources of an evaluation; of fewer it says nothing which symbols are rare."""

DEV_LOSS = "dev_loss"
"""Nats a token, teacher-forced and without label smoothing."""

LONGEST_SAMPLE = 200
"""Characters of a text that is shown: what has learnt little repeats itself to the limit of its outputs."""


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
    read = encoded(contents.config, pairs, contents.tokenizers)
    batches = PairBatches(read, batch_tokens=training.batch_tokens, seed=training.seed)

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
        return Validation(goal, {DEV_LOSS: loss, **{one.name: one.value for one in scores}}, loss)

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
    from attentio.evaluation.confusions import confusions
    from attentio.evaluation.metrics import check_metrics, score
    from attentio.evaluation.report import Evaluation

    config, units = run.config.evaluation, run.config.units
    metrics, beam = metrics or [*config.metrics], beam or run.config.decoding.beam
    ratio = run.config.decoding.max_length_ratio if max_length_ratio is None else max_length_ratio
    check_metrics(metrics, config.bleu_tokenize)
    examples = group_references(part.items)
    references = [example.references for example in examples]
    task = bar.add_task("decoding", total=len(examples))
    started = time.perf_counter()
    found = run.candidates(
        [example.source for example in examples],
        beam=beam,
        max_length_ratio=ratio,
        attention=False,
        progress=lambda done: bar.advance(task, done),
    )
    seconds = time.perf_counter() - started
    outputs = [best[0] for best in found]
    texts = [output.text for output in outputs]
    lengths = [len(output.source_tokens) - 1 for output in outputs]
    cut = sum(not output.finished for output in outputs)
    longer = _too_long(run, lengths, references, ratio)
    said = _said(examples, outputs, units)
    how: dict[str, Any] = {"units": units, "bleu_tokenize": config.bleu_tokenize}
    notes = _notes(run, len(part.items), examples, outputs, (cut, longer), ratio)
    if "per" in metrics:
        notes.append("per counts characters" if units == "characters" else "per counts words")
    by_rarest: list[FrequencyBin] = []
    try:
        if len(examples) >= FEWEST_TOLD_APART:
            by_rarest = _by_frequency(run, examples, texts, metric=metrics[0], **how)
    except AttentioError as error:
        notes.append(f"not told apart by what was rare in training: {error}")
    calibration = _calibrated(outputs, said, notes) if calibrate else None
    return Evaluation(
        title="quality of free decoding",
        summary=f"{len(examples):,} sources, beam {beam}, {seconds:.1f} s",
        scores=score(texts, references, metrics=metrics, margins=True, **how),
        by_source_length=by_source_length(lengths, texts, references, metric=metrics[0], **how),
        by_frequency=by_rarest,
        facts={
            "sources": len(examples),
            "beam": beam,
            "units": units,
            "sources_with_unknown": sum(bool(output.unknown) for output in outputs),
            "outputs_cut_off": cut,
            "targets_too_long": longer,
            "seconds": seconds,
            "output_tokens_per_second": sum(len(output.tokens) for output in outputs) / seconds,
        },
        notes=notes,
        calibration=calibration,
        outputs=said,
        confusions=confusions(texts, references, units=units),
    )


def _too_long(run: Run, lengths: Sequence[int], references: Sequence[Sequence[str]], ratio: float) -> int:
    """Sources without a reference as short as an output may be. lengths: of the sources, in tokens without their ends.

    A beam ends in something short rather than be cut, so these are counted beside the outputs that are cut.
    """
    most = run.longest(torch.tensor(lengths) + 1, ratio).tolist()
    shortest = [min(map(len, run.tokenizers.target.encode_all(each))) for each in references]
    return sum(length > limit for length, limit in zip(shortest, most, strict=True))


def _said(examples: "Sequence[Example]", outputs: Sequence[Translation], units: "Units") -> "list[Output]":
    from attentio.evaluation.metrics import tokens_of
    from attentio.evaluation.report import Output

    split = tokens_of(units)
    return [
        Output(each.source, one.text, split(one.text) in map(split, each.references), one.score, each.references)
        for each, one in zip(examples, outputs, strict=True)
    ]


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


def _calibrated(outputs: Sequence[Translation], said: "Sequence[Output]", notes: list[str]) -> "Calibration":
    from attentio.evaluation.calibration import calibrate

    found = calibrate([one.log_prob for one in outputs], [each.right for each in said])
    notes.append(
        f"confidence that a whole output is right, fitted on {found.lines:,} of which {found.right:,} are: "
        f"temperature {found.temperature:.3f}; expected calibration error there {found.error_before:.4f} before and "
        f"{found.error_after:.4f} after"
    )
    return found


def _notes(
    run: Run,
    lines: int,
    examples: "Sequence[Example]",
    outputs: Sequence[Translation],
    limited: tuple[int, int],
    ratio: float,
) -> list[str]:
    """What the scores do not say. limited: outputs cut off, and targets too long."""
    notes = []
    if len(examples) < lines:
        notes.append(
            f"{len(examples):,} sources of {lines:,} lines: repeated sources count once, any of their targets is right"
        )
    unknown = [
        told(one.unknown, f"source {each.source!r}") for one, each in zip(outputs, examples, strict=True) if one.unknown
    ]
    if unknown:
        notes.append(f"{len(unknown):,} sources hold something unknown; the first: {unknown[0]}")
    cut, longer = limited
    if cut or longer:
        notes.append(
            f"{cut:,} outputs are cut off, {longer:,} targets are too long: an output may have "
            f"{run.length_limit(ratio)}; --max-length-ratio lets it have more"
        )
    return notes
