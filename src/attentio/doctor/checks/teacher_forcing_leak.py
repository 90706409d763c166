"""A decoder sees the token that it is to predict.

Teacher-forced, a decoder reads the true target shifted by one: at position t everything up to token t, to predict token
t + 1. It must not see later ones, through a missing mask, through the labels, or because input and target were not
shifted against each other. Seen by changing one position of the decoder's input or of the labels and looking at the
outputs up to there, and by asking the loss which token it wants at each position.
"""

from collections.abc import Iterator

import torch

from attentio.doctor.diagnosis import Concluded, Established, Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import is_target
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.causal_masks import works_causally
from attentio.doctor.probes.causality import leaks
from attentio.doctor.probes.loss import wanted_tokens

ID = "teacher-forcing-leak"
TITLE = "no prediction sees its own answer"
NEEDS = ()
EXPLAINS = ("length-dependence", "cached-differs", "position-statistics", "batch-statistics")
ESTABLISHES = ("sees_future",)

_CONSEQUENCE = (
    "Training then looks too good, since the answer need only be copied; in free decoding, where there is no answer to "
    "copy, the model fails."
)


def check(subject: Subject, facts: Facts) -> Iterator[Concluded | Established | Finding]:
    """Look at the decoder's input, at the labels, and at what the loss wants."""
    targets = [sequence for sequence in facts.sequences if sequence.target]
    labels = [name for name, role in facts.roles.items() if role == "labels"]
    if not targets and not labels and facts.told.loss is None:
        raise Skip("there is no decoder's input beside another one, no labels and no loss=")
    found = [*_decoder(subject, facts), *_labels(subject, facts, labels)]
    yield from found
    if not any(isinstance(one, Finding) for one in found):
        yield from _loss(subject, facts)


def _decoder(subject: Subject, facts: Facts) -> Iterator[Concluded | Established | Finding]:
    for sequence in facts.sequences:
        expected = facts.told.causal if facts.told.causal is not None else True if is_target(sequence.name) else None
        if not sequence.target or expected is False:
            continue
        found = list(leaks(subject, facts, sequence, expected))
        if found and expected is None and works_causally(subject, facts, sequence):
            found = list(leaks(subject, facts, sequence, True))
        errors = [leak for leak in found if not leak.intended]
        if found and not errors:
            yield Concluded("causal", "no: every output depends on later inputs too; causal=True if not meant")
        if expected and facts.told.causal is None:
            yield Concluded("causal", f"expected of {sequence.name}, as a decoder's input")
        for leak in errors[:1]:
            yield Established("sees_future", sequence.name)
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


def _labels(subject: Subject, facts: Facts, labels: list[str]) -> Iterator[Finding]:
    """Labels may reach outputs only at later positions, as a model's that shifts them into its decoder."""
    for name in labels:
        value = facts.values[name]
        if value.ndim != 2 or value.is_floating_point():
            continue
        position = value.shape[1] // 2
        other = value.clone()
        padding = [one.token for one in facts.padding.values() if one.token is not None]
        tokens = (value >= 0) & ~torch.isin(value, value.new_tensor(padding))  # how many there are may tell the end
        wanted = tokens[:, position].nonzero().flatten()
        ids = value[tokens].unique()
        if not len(wanted) or len(ids) < 2:
            continue
        place = torch.searchsorted(ids, value[wanted, position].contiguous())
        other[wanted, position] = ids[(place + 1) % len(ids)]
        after = subject.run({name: other}, what="with other labels")
        for path, before in subject.base.items():
            if before.ndim != 3 or before.shape[:2] != value.shape:
                continue
            apart = difference(before, after[path]).cpu()[:, : position + 1]
            if (apart > subject.tolerance).any():
                evidence = {
                    "changed": f"{name} at position {position}",
                    "output": path,
                    "earliest output that moved": int((apart > subject.tolerance).any(0).nonzero()[0]),
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


def _loss(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """What does the loss want at position t: the token that was read there?"""
    if not facts.has("loss"):
        return
    targets = [one for one in facts.sequences if one.target] or list(facts.sequences)
    for sequence in targets:
        same, counted = wanted_tokens(subject, facts, sequence, shift=0)
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
