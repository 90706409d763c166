"""A head that reads every key alike, whatever it holds: a mean, for the price of an attention.

Weights of freshly made models are nearly even too, so that only weights that are even to the last digit, beside other
heads that are not, are more than a note.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.heads import Heads, heads_of

ID = "uniform-heads"
TITLE = "heads tell keys apart"
NEEDS = ()

_EVEN = 1e-5  # distance from even weights that rounding alone makes
_CURE = "Look at the projections of queries and keys: a part of them that was never loaded, or is scaled to nothing."


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Module by module; then one note on heads that are nearly even."""
    nearly: list[str] = []
    count = 0
    for heads in heads_of(subject, facts):
        count += len(heads.unevenness)
        even = heads.unevenness < _EVEN
        if even.any() and not even.all():
            yield _finding(heads, even.nonzero().flatten().tolist())
        nearly += [f"{heads.name} {head}" for head in (heads.evenness > 0.999).nonzero().flatten().tolist()]
    if nearly:
        yield Finding(
            ID,
            "note",
            f"{len(nearly)} of {count} heads read all keys nearly alike",
            "Freshly made weights do that. In a trained model it says that these heads do not choose: their scores "
            "are too small, for instance after a division by d in place of its square root.",
            {"heads": nearly[:8], "entropy of their weights, of the largest possible": "more than 0.999"},
            "None, if the model is not trained yet.",
        )


def _finding(heads: Heads, even: list[int]) -> Finding:
    return Finding(
        ID,
        "warning",
        f"{heads.name or 'the model'}: head{'s' if len(even) > 1 else ''} {', '.join(map(str, even))} cannot choose",
        "All weights of the head are the same to the last digit, for every query, while other heads of the same module "
        "tell keys apart. So its scores are 0: the projection of its queries or keys is. The head is a mean over all "
        "keys, and gets little or no gradient to become more.",
        {
            "largest relative distance from even weights, these heads": float(heads.unevenness[even].max()),
            "the same, the other heads": float(heads.unevenness[heads.unevenness >= _EVEN].min()),
            "queries looked at": heads.queries,
        },
        _CURE,
        heads.name,
    )
