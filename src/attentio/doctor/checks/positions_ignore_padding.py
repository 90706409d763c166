"""Positions are counted from the first column, also where that is padding.

Decoder-only models are padded at the start for generation. If positions are numbered by column, a sentence that has
padding before it is read at other positions than in training. Seen by adding masked columns at the start: results of
real positions must stay the same.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.padding_edits import lengthened
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.comparison import compared, largest, with_positions, without_start
from attentio.doctor.probes.padding_leaks import EXTRA, has_left_padding

ID = "positions-ignore-padding"
TITLE = "positions are counted from the first real token"
NEEDS = ("padding", "positions")


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """An error if the example is padded at the start; else a note: that is then no use the model was made for."""
    looked = False
    for sequence in facts.sequences:
        if sequence.name not in facts.padding or facts.padding[sequence.name].form != "mask":
            continue
        looked = True
        after = subject.run(lengthened(facts, sequence, EXTRA, "start"), what="with padding at the start")
        after = without_start(facts, after, sequence, EXTRA)
        size, place = largest(with_positions(compared(facts, subject.base, after)))
        if size <= subject.tolerance:
            continue
        used = has_left_padding(facts, sequence)
        yield Finding(
            ID,
            "error" if used else "note",
            f"padding at the start of {sequence.name} shifts the positions of the real tokens",
            f"{EXTRA} columns of padding were added at the start and masked, and the results of real positions moved: "
            "the model numbers positions by column. A row with padding before it is read at positions that it did not "
            "have in training, and gets other results than alone."
            + ("" if used else " The example is padded at the end, where this does no harm: keep it so."),
            {"changed": f"{EXTRA} masked columns at the start", "moved most": place, "by (relative)": size},
            "Count the real tokens: `position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)`; or pad at the end.",
        )
    if not looked:
        raise Skip("no mask says what padding is, and lengths and tokens cannot put it at the start")
