"""Which attentions of a sequence to itself, and which of their heads, let a query see nothing later than itself."""

import re
from typing import Literal

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.attentions import Attention, attentions

Seen = Literal["earlier", "later", "both", "all"]
"""What queries see beside their own position; "later" where they see nothing beside it, "all" where no query is told
from another."""


@measured_once
def seen_by_heads(subject: Subject, facts: Facts, sequence: SequenceInput) -> dict[str, list[Seen]]:
    """By module: what its heads see; of attentions that are as long as the sequence on both sides."""
    found: dict[str, list[Seen]] = {}

    def visit(attention: Attention) -> None:
        if attention.scores.shape[2:] == (sequence.length, sequence.length):
            found.setdefault(attention.name, []).extend(map(_seen, attention.allowed.unbind(1)))

    try:
        attentions(subject, facts, visit)
    except Skip:
        return {}
    return found


def works_causally(subject: Subject, facts: Facts, sequence: SequenceInput) -> str:
    """Why outputs must not see later positions, as far as masks say it; "" if they say nothing.

    All attentions are causal; or one is not, while others of the same stack (the same name but for numbers) are; or
    some heads of one see both ways, while at least as many are causal.
    """
    heads = seen_by_heads(subject, facts, sequence)
    causal = {name: set(seen) == {"earlier"} for name, seen in heads.items()}
    if causal and all(causal.values()):
        return "its attention has a causal mask"
    stacks: dict[str, set[bool]] = {}
    for name, is_causal in causal.items():
        stacks.setdefault(re.sub(r"\d+", "#", name), set()).add(is_causal)
    if any(len(kinds) == 2 for kinds in stacks.values()):
        layer = next(name for name, one in causal.items() if not one and len(stacks[re.sub(r"\d+", "#", name)]) == 2)
        return f"other layers beside {layer} have a causal mask"
    for name, seen in heads.items():
        if "later" not in seen and len(seen) > seen.count("earlier") >= len(seen) / 2:
            return f"{seen.count('earlier')} of {len(seen)} heads of {name or 'the model'} have a causal mask"
    return ""


def sees_all(subject: Subject, facts: Facts, sequence: SequenceInput) -> bool:
    """Whether there is attention of the sequence to itself, and none of it has a mask that tells queries apart."""
    heads = seen_by_heads(subject, facts, sequence)
    return bool(heads) and all(set(seen) == {"all"} for seen in heads.values())


def _seen(allowed: Tensor) -> Seen:
    """Of a head [batch, q, k]: nothing above the diagonal, and something below it in some row (a window may cut the
    rest); or the other way round."""
    if bool(allowed.any()) and torch.equal(allowed, allowed.any(-2, keepdim=True).expand_as(allowed)):
        return "all"
    length = allowed.shape[-1]
    above = torch.ones(length, length, dtype=torch.bool, device=allowed.device).triu(1)
    later, earlier = bool((allowed & above).any()), bool((allowed & above.mT).any())
    return "both" if later and earlier else "earlier" if earlier else "later"
