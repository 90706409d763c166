"""A head that puts all weight on one key: softmax is saturated there, and passes no gradient back to the scores.

One such head is often meant (the previous token); when all heads of a module are so, the scores are too large.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.heads import heads_of

ID = "one-hot-heads"
TITLE = "softmax is not saturated"
NEEDS = ()

_SHARP = 0.99


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Module by module; then one note on single heads."""
    single: list[str] = []
    for heads in heads_of(subject, facts):
        sharp = heads.sharpest > _SHARP
        if not sharp.all():
            single += [f"{heads.name} {head}" for head in sharp.nonzero().flatten().tolist()]
            continue
        yield Finding(
            ID,
            "warning",
            f"{heads.name or 'the model'}: every head puts all its weight on one key",
            "The scores are so far apart that softmax is a choice. The gradient of a softmax is weight * (1 - weight), "
            "which is then 0: the queries and keys of this module no longer learn, and a small change of the input "
            "can move all the weight from one key to another.",
            {
                "mean of the largest weight, by head": [round(each, 4) for each in heads.sharpest.tolist()],
                "queries looked at": heads.queries,
            },
            "Divide the scores by sqrt(d), normalise queries and keys (LayerNorm before, or of each head), or begin "
            "with smaller projections.",
            heads.name,
        )
    if single:
        yield Finding(
            ID,
            "note",
            f"{len(single)} heads put all their weight on one key",
            "Such heads are found in trained models, for instance one that reads the token before. They pass hardly "
            "any gradient to their queries and keys.",
            {"heads": single[:8], "mean of the largest weight": f"more than {_SHARP}"},
            "None needed, if the others do their work.",
        )
