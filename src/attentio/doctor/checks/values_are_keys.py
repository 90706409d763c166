"""The values of an attention are its keys: the same projection twice, where two were meant.

What is looked for then is also what is brought: a head cannot fetch one thing by another. Seen by comparing both in
every attention of several heads, and of one head where a layer projected the keys. A recurrent decoder's memory is keys
and values without a projection: of that nothing is said. Keys that are rotated for positions are known by their
lengths.
"""

from collections.abc import Iterator

from torch import Tensor

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention
from attentio.doctor.probes.projections import given_the_same_twice

ID = "values-are-keys"
TITLE = "keys and values are projected apart"
NEEDS = ()


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Every attention in which both are seen."""
    for attention in given_the_same_twice(subject, facts, _pairs):
        yield Finding(
            ID,
            "warning",
            f"{attention.title}: the values are the keys",
            "In every head the vectors that are summed are the vectors that queries are compared with (up to a "
            "factor, or "
            "a rotation for positions). So a head can only bring what it looked for, and the model has a projection "
            "less "
            "than it seems: mostly the keys' layer is called twice, or a fused projection is cut at the wrong places.",
            {
                "heads": attention.scores.shape[1],
                "keys": attention.scores.shape[3],
                "largest difference (relative)": 0.0,
            },
            "`key, value = self.key(x), self.value(x)`; of a fused projection `query, key, value = "
            "self.qkv(x).chunk(3, dim=-1)`.",
            attention.name,
        )


def _pairs(attention: Attention) -> list[tuple[Tensor | None, Tensor | None]]:
    """Written by hand, what is called the query may be the keys."""
    by_hand = [(attention.query, attention.value)] if attention.api == "softmax" else []
    return [(attention.key, attention.value), *by_hand]
