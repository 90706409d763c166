"""The queries of an attention are its keys: the same projection twice, where two were meant.

Then the scores are symmetric, every token looks most at itself and at what is like it, and of two tokens each looks at
the other alike. Seen by comparing both in every attention of a sequence to itself that has several heads, and of one
head where a layer projected them. Both turned alike for positions are the same still.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.projections import given_the_same_twice

ID = "queries-are-keys"
TITLE = "queries and keys are projected apart"
NEEDS = ()


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Every attention in which both are seen."""
    for attention in given_the_same_twice(subject, facts, lambda one: [(one.key, one.query)]):
        yield Finding(
            ID,
            "warning",
            f"{attention.title}: the queries are the keys",
            "In every head the vectors that look are the vectors that are looked at (up to a factor). So the scores "
            "are symmetric: a token looks most at itself and at what is like it, and never at another that does not "
            "look back. The model has a projection less than it seems: mostly one layer is called twice, or a fused "
            "projection is cut at the wrong places. A few models mean it, as Reformer does.",
            {
                "heads": attention.scores.shape[1],
                "positions": attention.scores.shape[3],
                "largest difference (relative)": 0.0,
            },
            "`query, key = self.query(x), self.key(x)`; of a fused projection `query, key, value = "
            "self.qkv(x).chunk(3, dim=-1)`.",
            attention.name,
        )
