"""Padding counts in the loss: by what is predicted there, or by dividing by the number of all positions.

Learning to predict padding is easy and wastes the model on it; short sentences count less than long ones. Seen by the
gradient of the loss on the logits at padding, by changing the labels there, and by adding columns of padding.
"""

from collections.abc import Iterator
from typing import Any

import torch

from attentio.inspection.doctor.diagnosis import Finding, Skip
from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.lengthened import lengthened
from attentio.inspection.doctor.padding_probe import EXTRA
from attentio.inspection.doctor.patient import Patient
from attentio.inspection.doctor.weighed import weighed

ID = "loss-counts-padding"
TITLE = "padding does not count in the loss"
NEEDS = ("loss", "padding")


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the sequence that the loss is about: the decoder's, or the only one."""
    sequence = next((one for one in patient.sequences if one.target), patient.sequences[0])
    evidence: dict[str, Any] = {}
    reasons = []
    for look in (_gradient_at_padding, _other_labels, _more_columns):
        try:
            evidence |= look(patient, sequence)
        except Skip as reason:
            reasons.append(str(reason))
    if len(reasons) == 3:
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


def _gradient_at_padding(patient: Patient, sequence: SequenceInput) -> dict[str, Any]:
    real = _known(patient, sequence)
    gradient = weighed(patient).gradient
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


def _other_labels(patient: Patient, sequence: SequenceInput) -> dict[str, Any]:
    """Labels at padding: whatever stands there must not matter."""
    for name, role in patient.roles.items():
        labels = patient.inputs.values[name]
        if role != "labels" or labels.ndim != 2 or labels.is_floating_point():
            continue
        padded = _padded_labels(patient, sequence, labels)
        ids = labels[~padded & (labels >= 0)].unique()
        where = padded & (labels >= 0)
        if len(ids) < 2 or not padded.any():
            continue
        other = torch.where(where, torch.where(labels == ids[0], ids[1], ids[0]), labels)
        apart = _apart(weighed(patient).loss, weighed(patient, {name: other}, what="with other labels").loss)
        return {f"loss changed with {name} at padding, by (relative)": apart} if apart > patient.tolerance else {}
    raise Skip("no labels at padding to change")


def _padded_labels(patient: Patient, sequence: SequenceInput, labels: torch.Tensor) -> torch.Tensor:
    """Where the inputs have padding, or else where the labels end in ids of padding, or in what is ignored."""
    if sequence.name in patient.padding and labels.shape == (sequence.rows, sequence.length):
        return ~patient.real(sequence)
    tokens = {one.token for one in patient.padding.values() if one.token is not None}
    ending = (labels < 0) | sum((labels == token for token in tokens), torch.zeros_like(labels, dtype=torch.bool))
    return (~ending).flip(1).cumsum(1).flip(1) == 0


def _more_columns(patient: Patient, sequence: SequenceInput) -> dict[str, Any]:
    padding = patient.padding.get(sequence.name)
    if padding is None or (sequence.kind == "tokens" and padding.token is None and patient.real(sequence).all()):
        raise Skip("what stands at padding is not known: give an example in which a row is padded")
    if patient.loss is not None and any(role == "other" for role in patient.roles.values()):
        raise Skip("not all inputs are known well enough to add padding")
    longer = weighed(patient, lengthened(patient, sequence, EXTRA, "end"), what="with columns of padding").loss
    before = weighed(patient).loss
    if _apart(before, longer) <= patient.tolerance:
        return {}
    return {"loss": before, f"loss with {EXTRA} columns of padding": longer}


def _known(patient: Patient, sequence: SequenceInput) -> torch.Tensor:
    if sequence.name not in patient.padding:
        raise Skip(f"nothing says what the padding of {sequence.name} is")
    return patient.real(sequence)


def _apart(before: float, after: float) -> float:
    return abs(after - before) / max(abs(before), 1e-30)
