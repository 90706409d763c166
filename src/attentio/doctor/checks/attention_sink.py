"""Nearly every query puts most of its weight on the same key, such as the first token.

Trained language models do so where a head has nothing to say: a note. Where every head of the model does, a warning.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.heads import heads_of

ID = "attention-sink"
TITLE = "queries do not all look at one key"
NEEDS = ()

_MOST = 0.6


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """One finding for the model."""
    sinks: dict[str, float] = {}
    keys: set[int] = set()
    count = 0
    for heads in heads_of(subject, facts):
        count += len(heads.sink)
        for head in (heads.sink > _MOST).nonzero().flatten().tolist():
            sinks[f"{heads.name} {head}".strip()] = round(float(heads.sink[head]), 3)
            keys.add(int(heads.sink_key[head]))
    if not sinks:
        return
    everywhere = len(sinks) == count and count > 1
    yield Finding(
        ID,
        "warning" if everywhere else "note",
        f"{'all' if everywhere else len(sinks)} of {count} heads look mostly at one key, whatever the query",
        "The weight that a head must put somewhere is parked on one token, often the first or a separator. Trained "
        "language models do that. It matters when that token leaves a window or a cache, which then breaks the model; "
        "when weights are read as importance; and for quantisation, because such keys are large."
        + (
            " Here every head does so: nothing else is read, which looks like a mask or a bias gone wrong." * everywhere
        ),
        {
            "mean weight of that key, by head": dict(sorted(sinks.items(), key=lambda one: -one[1])[:8]),
            "positions of the keys": sorted(keys),
        },
        "Keep the first tokens in a sliding cache (StreamingLLM, Xiao et al. 2024), or train with a learned sink or a "
        "gate.",
    )
