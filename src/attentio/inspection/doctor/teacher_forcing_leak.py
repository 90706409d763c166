"""A decoder sees the token that it is to predict.

Teacher-forced, a decoder reads the true target shifted by one: at position t everything up to token t, to predict token
t + 1. It must not see later ones, through a missing mask, through the labels, or because input and target were not
shifted against each other. Seen by changing one position of the decoder's input or of the labels and looking at the
outputs up to there, and by asking the loss which token it wants at each position.
"""

from collections.abc import Iterator

import torch

from attentio.inspection.doctor.causality import leaks
from attentio.inspection.doctor.diagnosis import Finding, Skip
from attentio.inspection.doctor.inputs import is_target
from attentio.inspection.doctor.outputs import difference
from attentio.inspection.doctor.patient import Patient
from attentio.inspection.doctor.weighed import asked_for

ID = "teacher-forcing-leak"
TITLE = "no prediction sees its own answer"
NEEDS = ()
EXPLAINS = ("cached-differs",)

_CONSEQUENCE = (
    "Training then looks too good, since the answer need only be copied; in free decoding, where there is no answer to "
    "copy, the model fails."
)


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the decoder's input, at the labels, and at what the loss wants."""
    targets = [sequence for sequence in patient.sequences if sequence.target]
    labels = [name for name, role in patient.roles.items() if role == "labels"]
    if not targets and not labels and patient.loss is None:
        raise Skip("there is no decoder's input beside another one, no labels and no loss=")
    found = [*_decoder(patient), *_labels(patient, labels)]
    yield from found or _loss(patient)


def _decoder(patient: Patient) -> Iterator[Finding]:
    for sequence in patient.sequences:
        expected = patient.causal if patient.causal is not None else True if is_target(sequence.name) else None
        if not sequence.target or expected is False:
            continue
        found = list(leaks(patient, sequence, expected))
        errors = [leak for leak in found if not leak.intended]
        if found and not errors:
            patient.concluded["causal"] = "no: every output depends on later inputs too; causal=True if not meant"
        if expected and patient.causal is None:
            patient.concluded["causal"] = f"expected of {sequence.name}, as a decoder's input"
        patient.sees_future |= {sequence.name for _ in errors}
        for leak in errors[:1]:
            yield Finding(
                ID,
                "error",
                f"predictions see later positions of {sequence.name}",
                f"One position of {sequence.name} was changed, and outputs before it moved. The output at position t "
                f"predicts what the decoder reads at t + 1, so it sees its answer. {_CONSEQUENCE} Usually the "
                "decoder's self-attention has no causal mask; `nn.Transformer` masks nothing unless it is told to.",
                leak.evidence,
                "`model(src, tgt, tgt_mask=nn.Transformer.generate_square_subsequent_mask(tgt_len))`, or "
                "`is_causal=True` in `F.scaled_dot_product_attention`. If the decoder is not autoregressive: "
                "`causal=False`.",
                leak.where,
            )


def _labels(patient: Patient, labels: list[str]) -> Iterator[Finding]:
    """Labels may reach outputs only at later positions, as a model's that shifts them into its decoder."""
    for name in labels:
        value = patient.inputs.values[name]
        if value.ndim != 2 or value.is_floating_point():
            continue
        position = value.shape[1] // 2
        other = value.clone()
        wanted = (value[:, position] >= 0).nonzero().flatten()
        ids = value[value >= 0].unique()
        if not len(wanted) or len(ids) < 2:
            continue
        place = torch.searchsorted(ids, value[wanted, position].contiguous())
        other[wanted, position] = ids[(place + 1) % len(ids)]
        after = patient.run({name: other}, what="with other labels")
        for path, before in patient.base.items():
            if before.ndim != 3 or before.shape[:2] != value.shape:
                continue
            apart = difference(before, after[path]).cpu()[:, : position + 1]
            if (apart > patient.tolerance).any():
                evidence = {
                    "changed": f"{name} at position {position}",
                    "output": path,
                    "earliest output that moved": int((apart > patient.tolerance).any(0).nonzero()[0]),
                    "moved by (relative)": float(apart.max()),
                }
                yield _label_finding(name, evidence)
                break


def _label_finding(name: str, evidence: dict[str, object]) -> Finding:
    return Finding(
        ID,
        "error",
        f"the {name} reach the prediction that they are compared with",
        f"The {name} at one position were changed, and the output at that position or before it moved. Labels are for "
        f"the loss alone; here they are an input of the prediction. {_CONSEQUENCE}",
        evidence,
        "Give the decoder the labels shifted to the right, `decoder_input = torch.cat([begin, labels[:, :-1]], "
        "dim=1)`, and use the labels themselves in the loss only.",
    )


def _loss(patient: Patient) -> Iterator[Finding]:
    """What does the loss want at position t: the token that was read there?"""
    if patient.loss is None and not any(role == "labels" for role in patient.roles.values()):
        return
    targets = [one for one in patient.sequences if one.target] or list(patient.sequences)
    for sequence in targets:
        same, counted = asked_for(patient, sequence, shift=0)
        if same > 0.9:
            yield Finding(
                ID,
                "error",
                f"the loss asks at each position for the token that {sequence.name} has there",
                f"At {same:.0%} of the positions that the loss counts, the token it wants is the one the model reads "
                f"at that very position. {_CONSEQUENCE} For a model that predicts what comes next, input and target "
                "were not shifted against each other; for a masked language model, the loss also counts tokens that "
                "are not masked.",
                {"positions counted": counted, "wanted token = token read there": same},
                "Shift: `F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())`; masked: "
                "labels -100 wherever the input is not masked.",
            )
