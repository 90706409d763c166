"""Which attentions of a sequence to itself let a query see what is up to it, and nothing later."""

import re

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.attentions import Attention, attentions


@measured_once
def causal_attentions(subject: Subject, facts: Facts, sequence: SequenceInput) -> dict[str, bool]:
    """By module: whether its attention is causal; those that are as long as the sequence on both sides."""
    found: dict[str, bool] = {}

    def visit(attention: Attention) -> None:
        if attention.scores.shape[2:] == (sequence.length, sequence.length):
            found[attention.name] = found.get(attention.name, True) and _is_causal(attention.allowed)

    try:
        attentions(subject, facts, visit)
    except Skip:
        return {}
    return found


def works_causally(subject: Subject, facts: Facts, sequence: SequenceInput) -> str:
    """Why outputs must not see later positions, as far as masks say it; "" if they say nothing.

    All attentions are causal; or one is not, while others of the same stack (the same name but for numbers) are.
    """
    causal = causal_attentions(subject, facts, sequence)
    if causal and all(causal.values()):
        return "its attention has a causal mask"
    stacks: dict[str, set[bool]] = {}
    for name, is_causal in causal.items():
        stacks.setdefault(re.sub(r"\d+", "#", name), set()).add(is_causal)
    if any(len(kinds) == 2 for kinds in stacks.values()):
        layer = next(name for name, one in causal.items() if not one and len(stacks[re.sub(r"\d+", "#", name)]) == 2)
        return f"other layers beside {layer} have a causal mask"
    return ""


def _is_causal(allowed: Tensor) -> bool:
    """Nothing above the diagonal, and most of what is below it in some row (a window may cut the rest)."""
    length = allowed.shape[-1]
    later = torch.ones(length, length, dtype=torch.bool, device=allowed.device).triu(1)
    below = allowed & later.mT
    return not bool((allowed & later).any()) and bool(below.any())
