"""A recurrent encoder reads padding: its backward direction begins there, or its last state comes from there.

The backward direction of a bidirectional layer starts at the end of the row. If that is padding, it arrives at the last
real token with a state made of padding. The final state of a forward layer is taken after the padding. Seen as
padding-leak is; told apart by the module through which padding first reaches real positions.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.padding_leaks import padding_leaks

ID = "encoder-reads-padding"
TITLE = "a recurrent encoder starts and ends at the real tokens"
NEEDS = ("padding",)
EXPLAINS = ("positions-ignore-padding",)
USES = ("sees_future",)


def check(subject: Subject, facts: Facts, *, sees_future: frozenset[str]) -> Iterator[Finding]:
    """One finding for each input whose padding comes through a recurrent layer."""
    for leak in padding_leaks(subject, facts, sees_future):
        if leak.recurrent:
            kind = type(leak.module).__name__
            yield Finding(
                ID,
                "error",
                f"the {kind} reads the padding of {leak.sequence.name}",
                f"The {kind} is given padded rows as they are. Its backward direction begins at the end of the row, in "
                "the padding, and carries what it makes of it into the real tokens; a last state is taken after the "
                "padding. A sentence is then read differently beside a longer one.",
                leak.evidence,
                "Pack the rows: `packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, "
                "enforce_sorted=False)`, then `pad_packed_sequence(self.rnn(packed)[0], batch_first=True)`; take the "
                "last state from the packed run.",
                leak.where,
            )
