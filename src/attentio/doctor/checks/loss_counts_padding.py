"""Padding counts in the loss: by what is predicted there, or by dividing by the number of all positions.

Learning to predict padding is easy and wastes the model on it; short sentences count less than long ones. Seen by the
gradient of the loss on the logits at padding, by changing the labels there, and by adding columns of padding.
"""

from collections.abc import Iterator
from typing import Any

import torch

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.padding_edits import lengthened
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.loss import loss_of
from attentio.doctor.probes.padding_leaks import EXTRA

ID = "loss-counts-padding"
TITLE = "padding does not count in the loss"
NEEDS = ("loss", "padding")


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Look at the sequence that the loss is about: the decoder's, or the only one."""
    sequence = facts.predicted
    evidence: dict[str, Any] = {}
    reasons = []
    # Labels that the decoder reads have positions of their own, and say alone what padding is there.
    looks = [_other_labels] if facts.labels_are_read else [_gradient_at_padding, _other_labels, _more_columns]
    for look in looks:
        try:
            evidence |= look(subject, facts, sequence)
        except Skip as reason:
            reasons.append(str(reason))
    if len(reasons) == len(looks):
        raise Skip("; ".join(dict.fromkeys(reasons)))
    if evidence:
        yield Finding(
            ID,
            "error",
            "the loss counts padding",
            "The loss changes with padding, though no real token did. The model is trained to predict padding, the "
            "easiest of all tokens, and the loss of a batch depends on how much padding it has, so that short "
            "sentences count less and losses of two batches cannot be compared. Either the targets at padding are not "
            "ignored, or the sum is divided by all positions instead of the real ones.",
            evidence,
            "`F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad)`, whose mean is over what is "
            "not ignored; or `(loss * real).sum() / real.sum()`. In transformers: `labels[labels == pad] = -100`.",
        )


def _gradient_at_padding(subject: Subject, facts: Facts, sequence: SequenceInput) -> dict[str, Any]:
    real = _known(facts, sequence)
    gradient = loss_of(subject, facts).gradient
    if real.all() or gradient is None or gradient.shape[1] not in (sequence.length, sequence.length - 1):
        raise Skip("the example has no padding in what the loss is about")
    at_padding = gradient[~real[:, : gradient.shape[1]]].abs()
    counted = int((at_padding.amax(dim=1) > 0).sum()) if at_padding.numel() else 0
    if not counted:
        return {}
    return {
        "padded positions whose logits the loss has a gradient on": counted,
        "gradient there (largest)": float(at_padding.max()),
    }


def _other_labels(subject: Subject, facts: Facts, sequence: SequenceInput) -> dict[str, Any]:
    """Labels at padding: whatever stands there must not matter."""
    for name, role in facts.roles.items():
        labels = facts.values[name]
        if role != "labels" or labels.ndim != 2 or labels.is_floating_point():
            continue
        padded = _padded_labels(facts, sequence, labels)
        ids = labels[~padded & (labels >= 0)].unique()
        where = padded & (labels >= 0)
        if len(ids) < 2 or not padded.any():
            continue
        other = torch.where(where, torch.where(labels == ids[0], ids[1], ids[0]), labels)
        apart = _apart(
            loss_of(subject, facts).value, loss_of(subject, facts, {name: other}, what="with other labels").value
        )
        return {f"loss changed with {name} at padding, by (relative)": apart} if apart > subject.tolerance else {}
    raise Skip("no labels at padding to change")


def _padded_labels(facts: Facts, sequence: SequenceInput, labels: torch.Tensor) -> torch.Tensor:
    """Where the inputs have padding, or else where the labels end in ids of padding, or in what is ignored."""
    aligned = not facts.labels_are_read and labels.shape == (sequence.batch_size, sequence.length)
    if sequence.name in facts.padding and aligned:
        return ~facts.real(sequence)
    tokens = {one.token for one in facts.padding.values() if one.token is not None}
    ending = (labels < 0) | sum((labels == token for token in tokens), torch.zeros_like(labels, dtype=torch.bool))
    return (~ending).flip(1).cumsum(1).flip(1) == 0


def _more_columns(subject: Subject, facts: Facts, sequence: SequenceInput) -> dict[str, Any]:
    padding = facts.padding.get(sequence.name)
    if padding is None or (sequence.kind == "tokens" and padding.token is None and facts.real(sequence).all()):
        raise Skip("what stands at padding is not known: give an example in which a row is padded")
    if facts.told.loss is not None and any(role == "other" for role in facts.roles.values()):
        raise Skip("not all inputs are known well enough to add padding")
    longer = loss_of(subject, facts, lengthened(facts, sequence, EXTRA, "end"), what="with columns of padding").value
    before = loss_of(subject, facts).value
    if _apart(before, longer) <= subject.tolerance:
        return {}
    return {"loss": before, f"loss with {EXTRA} columns of padding": longer}


def _known(facts: Facts, sequence: SequenceInput) -> torch.Tensor:
    if sequence.name not in facts.padding:
        raise Skip(f"nothing says what the padding of {sequence.name} is")
    return facts.real(sequence)


def _apart(before: float, after: float) -> float:
    return abs(after - before) / max(abs(before), 1e-30)
