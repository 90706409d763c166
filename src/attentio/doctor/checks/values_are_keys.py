"""The values of an attention are its keys: the same projection twice, where two were meant.

What is looked for then is also what is brought: a head cannot fetch one thing by another. Seen by comparing both in
every attention of several heads, and of one head where a layer projected the keys. A recurrent decoder's memory is keys
and values without a projection: of that nothing is said. Keys that are rotated for positions are known by their
lengths.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions
from attentio.doctor.probes.projections import are_one, is_projected

ID = "values-are-keys"
TITLE = "keys and values are projected apart"
NEEDS = ()


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Every attention in which both are seen."""
    looked: list[str] = []
    same: dict[str, Attention] = {}

    def visit(attention: Attention) -> None:
        if attention.value is None or attention.key is None:
            return
        looked.append(attention.name)
        operands = [attention.key] if attention.api != "softmax" else [attention.key, attention.query]
        found = [one for one in operands if one is not None and are_one(one, attention.value)]
        if found and (attention.scores.shape[1] > 1 or is_projected(subject, found[0])):
            same.setdefault(attention.name, attention)

    attentions(subject, facts, visit)
    if not looked:
        raise Skip("no attention whose keys and values are tensors was seen")
    for name, attention in same.items():
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
            name,
        )
