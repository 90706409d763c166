"""What linear layers made of a sequence: whether an attention got the same twice."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions
from attentio.doctor.probes.trace import traced_example

_SAME = 1e-6


def given_the_same_twice(
    subject: Subject, facts: Facts, pairs: Callable[[Attention], list[tuple[Tensor | None, Tensor | None]]]
) -> list[Attention]:
    """The attentions, one a module, that have several heads or projected keys, and of whose `pairs` one is twice the
    same.

    Raises:
        Skip: of no attention both tensors of a pair were seen.
    """
    looked = False
    same: dict[str, Attention] = {}

    def visit(attention: Attention) -> None:
        nonlocal looked
        for one, other in pairs(attention):
            if one is None or other is None:
                continue
            looked = True
            if _are_one(one, other) and (attention.scores.shape[1] > 1 or _is_projected(subject, one)):
                same.setdefault(attention.name, attention)

    attentions(subject, facts, visit)
    if not looked:
        raise Skip("no attention in which both are tensors was seen")
    return list(same.values())


def _is_projected(subject: Subject, key: Tensor) -> bool:
    """Whether a linear layer made it, in a model without recurrence."""
    if any(isinstance(one, nn.RNNBase | nn.RNNCellBase) for one in subject.model.modules()):
        return False
    made = [call.returned[0] for call in traced_example(subject) if isinstance(call.module, nn.Linear)]
    keys = [key.detach().flatten(), key.detach().transpose(-1, -2).flatten()]
    return any(one.numel() == key.numel() and torch.equal(one.flatten(), flat) for one in made for flat in keys)


def _are_one(key: Tensor, other: Tensor) -> bool:
    """Whether one is the other times a number; the keys may have their last two axes exchanged, and be rotated."""
    other = other.detach().double()
    for one in (key.detach().double(), key.detach().double().transpose(-1, -2)):
        if one.shape != other.shape or other.shape[-2] < 3:
            continue
        sizes, wanted = one.norm(dim=-1), other.norm(dim=-1)
        factor = float(sizes.sum() / wanted.sum().clamp(min=1e-30))
        if wanted.max() < 1e-12 or (sizes - factor * wanted).abs().max() > _SAME * sizes.max():
            continue
        spread = float(wanted.std() / wanted.mean())
        exact = bool((one - factor * other).abs().max() <= _SAME * one.abs().max())
        first = bool((one[..., 0, :] - factor * other[..., 0, :]).abs().max() <= _SAME * one.abs().max())
        if exact or (first and spread > 1e-3):
            return True
    return False
