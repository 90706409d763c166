"""What stands at padded positions, or how many of them there are, changes the results of real positions.

A sentence then gets another result beside a longer sentence than alone. Seen by changing what stands at padding, and by
adding columns of it. Where it comes through a recurrent layer, encoder-reads-padding says so instead.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.padding_leaks import PaddingLeak, padding_leaks

ID = "padding-leak"
TITLE = "padding does not change the results of real positions"
NEEDS = ("padding",)
EXPLAINS = ("positions-ignore-padding", "position-statistics", "batch-statistics")
USES = ("sees_future",)


def check(subject: Subject, facts: Facts, *, sees_future: frozenset[str]) -> Iterator[Finding]:
    """One finding for each input whose padding leaks."""
    for leak in padding_leaks(subject, facts, sees_future):
        if not leak.recurrent:
            yield _finding(facts, leak)


def _finding(facts: Facts, leak: PaddingLeak) -> Finding:
    said = facts.padding[leak.sequence.name]
    return Finding(
        ID,
        "error",
        f"padding of {leak.sequence.name} changes the results of real positions",
        f"Here {said.told}. When padding changes, the outputs at real positions move, so the result of a sentence "
        "depends on how long the others of its batch are, and differs between training, evaluation and serving. Usual "
        "reasons: the mask is not handed to every attention (the decoder's attention to the source is the one most "
        "often forgotten), it masks the padded queries instead of the keys, or a mean, a norm or a convolution runs "
        "over padded positions too.",
        leak.evidence,
        "Mask the keys in every attention: `F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None, :])` "
        "with True = may attend, `key_padding_mask=~real` in `nn.MultiheadAttention`, `mask=at.padding(lengths)` in "
        "attentio; and take means over real positions: "
        "`(x * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)`.",
        leak.where,
    )
