"""A query that may attend to no key at all: softmax of nothing is NaN, or an even mean over what was forbidden.

Seen in the attentions of the example, and provoked by making one row of the batch all padding.
"""

from collections.abc import Iterator
from contextlib import suppress

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.padding_edits import emptied
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions, real_queries, watching

ID = "fully-masked-rows"
TITLE = "a query that may attend to nothing gets nothing"
NEEDS = ()
EXPLAINS = ("padding-leak", "encoder-reads-padding")

_CURE = (
    "Give such rows a weight of 0: weights = scores.softmax(-1).nan_to_num(0.0) with scores of -inf, or let every "
    "query see itself. attentio.attend gives weights 0, context 0 and gradient 0."
)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """The example itself, then the example with an empty row."""
    found: dict[tuple[str, str], Finding] = {}

    def visit(attention: Attention) -> None:
        for finding in _of_example(facts, attention):
            found.setdefault((attention.name, finding.title), finding)

    attentions(subject, facts, visit)
    yield from found.values()
    if not any(finding.severity == "error" for finding in found.values()):
        for sequence in facts.sequences:
            yield from _provoked(subject, facts, sequence)


def _of_example(facts: Facts, attention: Attention) -> Iterator[Finding]:
    real = real_queries(facts, attention)
    if real is None:
        return
    empty = (~attention.allowed.any(-1)).all(1) & real
    empty |= attention.scores.isnan().any(-1).all(1) & real
    if not empty.any():
        return
    context = attention.context
    by_query = context.transpose(1, 2) if attention.api != "multihead" and context.ndim == 4 else context
    reached = by_query.flatten(2)[empty] if by_query.shape[:2] == empty.shape else context[~context.isfinite()]
    evidence = {
        "queries without a key": int(empty.sum()),
        "the first of them (row, position)": tuple(empty.nonzero()[0].tolist()),
    }
    what = f"{attention.title}: a real position may attend to nothing"
    if not reached.isfinite().all():
        yield Finding(
            ID,
            "error",
            f"{what}, and gets NaN",
            "All scores of the query are -inf, so softmax divides 0 by 0. The NaN reaches every later layer, and one "
            "such row makes the loss and all gradients NaN.",
            evidence | {"values of its context that are not finite": int((~reached.isfinite()).sum())},
            _CURE,
            attention.name,
        )
    elif attention.api != "multihead" and reached.abs().max() > 0:
        yield Finding(
            ID,
            "error",
            f"{what}, and reads all that was forbidden",
            "All scores of the query are the same very small number, so softmax gives every key the same weight: the "
            "context is the mean over padding, future and whatever else the mask was to forbid.",
            evidence | {"weight of each forbidden key": 1 / attention.scores.shape[-1]},
            _CURE,
            attention.name,
        )
    else:
        yield Finding(
            ID,
            "note",
            f"{what}; its context is 0",
            "That is the right result for an empty row. If the position was meant to see itself at least, the mask is "
            "too strict, for instance tril(-1) in place of tril().",
            evidence,
            "If it was not meant: let every query see itself.",
            attention.name,
        )


def _provoked(subject: Subject, facts: Facts, sequence: SequenceInput) -> Iterator[Finding]:
    if sequence.name not in facts.padding or sequence.batch_size < 2:
        return
    row = sequence.batch_size - 1
    try:
        after = subject.run(emptied(facts, sequence, row), what="with a row that is all padding")
    except Skip:
        return  # a model that refuses an empty sentence is right
    own, others = 0, 0
    for output in facts.outputs:
        if output.path not in after:
            continue
        bad = ~output.batch_first(after[output.path]).isfinite().flatten(1).all(1)
        bad &= output.batch_first(subject.base[output.path]).isfinite().flatten(1).all(1)[: len(bad)]
        own, others = own + int(bad[row]), others + int(bad[:row].sum())
    if not own and not others:
        return
    if not others and _attention_is_finite(subject, facts, sequence, row):
        yield Finding(
            ID,
            "note",
            f"a row of {sequence.name} that is all padding becomes NaN, after attention",
            "The example was run with an empty row. What every attention gives for it is finite, and the result is "
            "not: usually a mean over the real positions, of which there are none, divides by 0.",
            {"row that was made all padding": row, "outputs in which it is then not finite": own},
            "If such rows can come: divide by `real.sum(1, keepdim=True).clamp(min=1)`.",
        )
        return
    said = "and other rows with it" if others else "which one mean over the batch spreads to the loss"
    yield Finding(
        ID,
        "error" if others else "warning",
        f"a row of {sequence.name} that is all padding becomes NaN",
        f"An empty sentence leaves every query without a key, and softmax of nothing is NaN, {said}. The example has "
        "no such row, but data does: an empty line, a sentence cut to nothing, rows added to fill a batch.",
        {
            "row that was made all padding": row,
            "outputs in which it is then not finite": own,
            "other rows that are then not finite": others,
        },
        _CURE,
    )


def _attention_is_finite(subject: Subject, facts: Facts, sequence: SequenceInput, row: int) -> bool:
    """Whether attentions are seen on the example with an empty row, and the contexts of all of them are finite."""
    finite: list[bool] = []
    with suppress(Skip), watching(subject, facts, lambda one: finite.append(bool(one.context.isfinite().all()))):
        subject.run(emptied(facts, sequence, row))
    return bool(finite) and all(finite)
