"""A mask of the numbers 0 and 1 is added to the scores, or multiplied with them: it favours a little, and forbids
nothing.

Seen in the attention itself: what is added to the scores, or what they are multiplied by, holds 0 and 1 and nothing
else.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions

ID = "float-mask-01"
TITLE = "no mask of 0 and 1 is added to the scores or multiplied with them"
NEEDS = ()
EXPLAINS = ("padding-leak", "encoder-reads-padding", "future-leak", "length-dependence", "positions-ignore-padding")


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """One finding a module."""
    found: dict[str, Finding] = {}

    def visit(attention: Attention) -> None:
        if attention.zero_one is not None and attention.name not in found:
            found[attention.name] = _finding(attention)

    attentions(subject, facts, visit)
    yield from found.values()


_MEANS = {
    "added": "A floating-point mask is added to the scores before the softmax, so that 0 means no change and 1 a "
    "weight that is e = 2.7 times as large.",
    "multiplied": "The scores are multiplied by the mask before the softmax, so that what is masked has the score 0, "
    "which is more than any negative one.",
}


def _finding(attention: Attention) -> Finding:
    assert attention.zero_one is not None
    (mask, how), weights = attention.zero_one, attention.weights
    if mask.ndim == 3:  # [batch, q, k], or batch and heads in one axis
        mask = mask.reshape(weights.shape) if mask.numel() == weights.numel() else mask.unsqueeze(1)
    spread = mask.expand_as(weights)
    return Finding(
        ID,
        "error",
        f"{attention.title}: a mask of 0 and 1 is {how} {'to' if how == 'added' else 'with'} the scores",
        f"{_MEANS[how]} Nothing is forbidden: what should be masked is attended to. A mask of bool type, or one of 0 "
        "and -inf that is added, was meant.",
        {
            "mean weight of a key where the mask has 0": float(weights[spread == 0].mean()),
            "mean weight of a key where it has 1": float(weights[spread == 1].mean()),
        },
        "Give the mask as bool (mask.bool(), True = may attend for F.scaled_dot_product_attention, True = ignore for "
        "nn.MultiheadAttention), or as numbers: torch.zeros(..).masked_fill(~allowed, float('-inf')).",
        attention.name,
    )
