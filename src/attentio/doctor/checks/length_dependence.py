"""A causal model's outputs change with the number of tokens that follow, whatever these are.

Positions counted from the end, scores or results divided by the length of the sequence: no later content reaches an
output, so nothing leaks; but the model generates from other outputs than those it was trained on, where all of the
sequence was there. Seen by cutting off the second half of the example.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import sliced
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.causality import leaks
from attentio.doctor.probes.comparison import compared, largest

ID = "length-dependence"
TITLE = "outputs of a causal model do not depend on how many tokens follow"
NEEDS = ("positions",)
EXPLAINS = ("cached-differs",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """The sequence whose next element is predicted, where later contents reach no output."""
    sequence = facts.predicted
    if facts.told.causal is False:
        raise Skip("causal=False")
    if any(True for _ in leaks(subject, facts, sequence, None)):
        raise Skip("outputs depend on what follows, not on its length alone")
    kept = sequence.length // 2
    cut = subject.run(sliced(facts, sequence, 0, kept, keys_from=0), what="without its second half")
    apart = compared(facts, subject.base, cut)
    size, place = largest({output: one for output, one in apart.items() if output.sequence == sequence.name})
    if size <= subject.tolerance:
        return
    yield Finding(
        ID,
        "error",
        "an output depends on how many tokens follow",
        "The second half of the example was cut off, and outputs before the cut moved, though no change of what stands "
        "there moves them. In training all tokens of a sequence are there, in generation none of those to come, so the "
        "model goes on from other numbers than it has learnt from. Usual reasons: positions that are counted from the "
        "end, scores or results that are multiplied by something made of the length.",
        {"cut": f"{sequence.name} from position {kept} on", "moved most": place, "by (relative)": size},
        "Count positions from the start, `torch.arange(n)`; scale scores by the features, `d ** -0.5`, and means by "
        "the keys that a query may see, `mask.sum(-1)`.",
    )
