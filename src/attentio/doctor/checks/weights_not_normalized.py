"""Attention weights that do not sum to 1 over the keys: softmax over another axis, or masked after the softmax.

Seen by following the weights of written-out attention from the softmax to the product with the values.
"""

from collections.abc import Iterator

import torch

from attentio.capturing.observe import observing
from attentio.capturing.tracer import WrittenOut
from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject

ID = "weights-not-normalized"
TITLE = "the weights of every query sum to 1 over the keys"
NEEDS = ()
EXPLAINS = (
    "future-leak",
    "length-dependence",
    "padding-leak",
    "encoder-reads-padding",
    "positions-ignore-padding",
    "batch-dependence",
)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """One finding a module."""
    found: dict[str, Finding] = {}

    def visit(one: WrittenOut) -> None:
        finding = _axis(one) if one.summed != one.softmax.axis else _sum(one)
        if finding is not None:
            found.setdefault(one.name, finding)

    with observing(subject.model, on_written_out=visit):
        subject.run(what="while its softmax was watched")
    yield from found.values()


def _axis(one: WrittenOut) -> Finding | None:
    sums = one.used.detach().sum(one.summed)
    if one.used.shape[one.summed] < 2 or (sums - 1).abs().max() < 1e-3:
        return None
    return Finding(
        ID,
        "error",
        f"{one.name or 'the model'} takes softmax over axis {one.softmax.axis} and sums over axis {one.summed}",
        "Softmax must run over the keys, the axis that the product with the values sums over. Here it runs over "
        "another one, so a query's weights do not sum to 1, and depend on which other queries there are: on "
        "later ones, on those of padding.",
        {
            "shape of the weights": list(one.used.shape),
            "smallest sum over the keys": float(sums.min()),
            "largest": float(sums.max()),
        },
        f"softmax(dim={one.summed}).",
        one.name,
    )


def _sum(one: WrittenOut) -> Finding | None:
    """Where some weights were set to 0 after the softmax and the others left alone."""
    used = one.used.detach().double()
    assert one.softmax.scores is not None
    before = one.softmax.scores.detach().double().softmax(one.softmax.axis)
    if used.numel() != before.numel():
        return None
    before = before.reshape(used.shape)
    zeroed = (used == 0) & (before > 1e-6)
    kept = torch.isclose(used, before, rtol=1e-4, atol=1e-7) | zeroed
    partly = zeroed.any(one.summed) & (used != 0).any(one.summed)
    if not partly.any() or not kept.all():  # a gate, or a Gaussian as in local attention, is meant
        return None
    sums = used.sum(one.summed)[partly]
    return Finding(
        ID,
        "error",
        f"{one.name or 'the model'} masks its weights after the softmax",
        "The forbidden keys took part in the softmax and were set to 0 only then. What they had taken is missing: the "
        "weights of a query sum to less than 1, and how much less depends on what stands at the forbidden keys, so "
        "padding or the future still moves the result.",
        {
            "queries concerned": int(partly.sum()),
            "smallest sum of weights": float(sums.min()),
            "mean": float(sums.mean()),
        },
        "Mask the scores: weights = scores.masked_fill(~allowed, float('-inf')).softmax(-1).",
        one.name,
    )
