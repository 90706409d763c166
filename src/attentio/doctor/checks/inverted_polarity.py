"""A mask read the wrong way round: True = may attend in one function, True = ignore in the other.

Padding: what stands at the padded positions moves the results of the real ones, and what stands at the real ones does
not. Causal: every output depends on later inputs, and none on earlier ones. Both are seen by changing inputs.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.edits import changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.comparison import compared

ID = "inverted-polarity"
TITLE = "masks are read the way they are meant"
NEEDS = ("positions",)
EXPLAINS = (
    "fully-masked-rows",
    "padding-leak",
    "encoder-reads-padding",
    "positions-ignore-padding",
    "future-leak",
    "length-dependence",
)

_CURE = (
    "F.scaled_dot_product_attention reads True = may attend; nn.MultiheadAttention and nn.Transformer read True = "
    "ignore; masked_fill(mask, -inf) fills where True. Put ~mask in place of mask, or keep one meaning everywhere and "
    "turn it at the border."
)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Change the padding, then one real position; then the first and the last position."""
    for sequence in facts.sequences:
        if sequence.name in facts.padding:
            yield from _padding(subject, facts, sequence)
        if facts.told.causal is not False and sequence.length > 2:
            yield from _causal(subject, facts, sequence)


def _padding(subject: Subject, facts: Facts, sequence: SequenceInput) -> Iterator[Finding]:
    real = facts.real(sequence)
    mixed = (real.sum(1) >= 3) & ~real.all(1)
    if not mixed.any():
        return
    first = torch.zeros_like(real)
    first[torch.arange(len(real)), real.int().argmax(1)] = True
    fitting = [one for one in facts.sequences if one.batch_size == sequence.batch_size]
    looked_at = {one.name: facts.real(one) & mixed.unsqueeze(1) for one in fitting}
    looked_at[sequence.name] &= ~first
    by_padding = _moved(subject, facts, sequence, ~real, looked_at)
    by_real = _moved(subject, facts, sequence, first, looked_at)
    if by_padding > subject.tolerance >= by_real:
        yield Finding(
            ID,
            "error",
            f"padding of {sequence.name} is read, and its real positions are ignored",
            "The mask of padding says True for one thing, and the attention that it is given to reads True as the "
            "opposite. So every real position attends to the padding and to nothing else. The model still trains, "
            "because each position keeps its own input, but no position ever sees another one.",
            {
                "largest relative move of real positions when the padding changes": by_padding,
                "largest relative move of the others when the first real position changes": by_real,
                "rows looked at": int(mixed.sum()),
            },
            _CURE,
        )


def _moved(
    subject: Subject, facts: Facts, sequence: SequenceInput, where: Tensor, looked_at: dict[str, Tensor]
) -> float:
    """How far outputs move when the input changes at `where`: at those positions, by the sequence that they are of."""
    after = subject.run(changed(facts, sequence, where), what="on other contents")
    largest = 0.0
    for output, apart in compared(facts, subject.base, after).items():
        if output.sequence in looked_at:
            moved = apart[looked_at[output.sequence][:, : apart.shape[1]]]
            largest = max(largest, float(moved.max()) if moved.numel() else 0.0)
    return largest


def _causal(subject: Subject, facts: Facts, sequence: SequenceInput) -> Iterator[Finding]:
    real = facts.real(sequence)
    last = real & (real.flip(1).cumsum(1).flip(1) == 1)
    first = real & (real.cumsum(1) == 1)
    inside = real & ~first & ~last
    if not inside.any() or not any(output.sequence == sequence.name for output in facts.outputs):
        return
    by_first = _moved(subject, facts, sequence, first, {sequence.name: inside})
    by_last = _moved(subject, facts, sequence, last, {sequence.name: inside})
    if by_last > subject.tolerance >= by_first:
        yield Finding(
            ID,
            "error" if facts.told.causal else "warning",
            f"every position of {sequence.name} sees what comes after it, and nothing that comes before",
            "This is a causal mask read the wrong way round: what it forbids is allowed, and what it allows is "
            "forbidden. In training the loss falls fast, because the next token can be seen; in use there is none.",
            {
                "largest relative move of later outputs when the first position changes": by_first,
                "largest relative move of earlier outputs when the last position changes": by_last,
            },
            _CURE,
        )
