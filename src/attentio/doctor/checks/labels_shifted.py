"""The loss asks for another token than the next one: labels that are shifted twice, or the wrong way.

Models of transformers shift labels themselves; a data pipeline that has done so already then trains the model to
predict the token after next. (Labels that are not shifted at all are teacher-forcing-leak.) Seen by the gradient of
the loss on the logits, which says which token it wants at each position.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.loss import wanted_tokens

ID = "labels-shifted"
TITLE = "the loss asks for the next token"
NEEDS = ("loss",)

FEWEST = 4
"""Positions counted, at least, to tell one shift from another."""


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Of what is predicted: where the wanted token stands among those read."""
    if not facts.sequences:
        raise Skip("there is no sequence whose tokens could be asked for")
    sequence = facts.predicted
    shares = {shift: wanted_tokens(subject, facts, sequence, shift=shift) for shift in (1, 2, 3, -1, -2)}
    if not any(counted for _, counted in shares.values()):
        raise Skip(f"which tokens of {sequence.name} the loss asks for cannot be told")
    shift = max(shares, key=lambda one: shares[one][0])
    share, counted = shares[shift]
    if shift == 1 or share <= 0.9 or counted < FEWEST or shares[1][0] > 0.9:
        return
    wanted = {2: "the token after next", 3: "the third token from there"}.get(shift, "a token that was read before")
    mistake = (
        "Mostly the labels are shifted twice, in the data and again in the model or the loss. The model then generates "
        "text that leaves words out."
        if shift > 0
        else "The labels are shifted the wrong way. The model then repeats what it has read."
    )
    yield Finding(
        ID,
        "error",
        f"the loss asks at each position for {wanted}",
        f"At {share:.0%} of the positions that the loss counts, the token it wants is the one that {sequence.name} has "
        f"{abs(shift)} positions {'later' if shift > 0 else 'earlier'}. {mistake}",
        {"positions counted": counted, f"wanted token = token {shift:+d} positions from there": share},
        "Shift once. Models of transformers shift by themselves: `labels=input_ids`. Where the data is shifted, "
        "`tokens[:, :-1]` and `tokens[:, 1:]`, use `F.cross_entropy(logits.flatten(0, 1), labels.flatten())` as it is.",
    )
