"""The values of an attention are its keys: the same projection twice, where two were meant.

What is looked for then is also what is brought: a head cannot fetch one thing by another. Seen by comparing both in
every attention of several heads, and of one head where a layer projected the keys. A recurrent decoder's memory is keys
and values without a projection: of that nothing is said. Keys that are rotated for positions are known by their
lengths.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions
from attentio.doctor.probes.trace import traced_example

ID = "values-are-keys"
TITLE = "keys and values are projected apart"
NEEDS = ()

_SAME = 1e-6


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Every attention in which both are seen."""
    looked: list[str] = []
    same: dict[str, Attention] = {}

    def visit(attention: Attention) -> None:
        if attention.value is None or attention.key is None:
            return
        looked.append(attention.name)
        operands = [attention.key] if attention.api != "softmax" else [attention.key, attention.query]
        found = [one for one in operands if one is not None and _same(one, attention.value)]
        if found and (attention.scores.shape[1] > 1 or _is_projected(subject, found[0])):
            same.setdefault(attention.name, attention)

    attentions(subject, facts, visit)
    if not looked:
        raise Skip("no attention whose keys and values are tensors was seen")
    for name, attention in same.items():
        yield Finding(
            ID,
            "warning",
            f"{attention.title}: the values are the keys",
            "In every head the vectors that are summed are the vectors that queries are compared with (up to a "
            "factor, or "
            "a rotation for positions). So a head can only bring what it looked for, and the model has a projection "
            "less "
            "than it seems: mostly the keys' layer is called twice, or a fused projection is cut at the wrong places.",
            {
                "heads": attention.scores.shape[1],
                "keys": attention.scores.shape[3],
                "largest difference (relative)": 0.0,
            },
            "`key, value = self.key(x), self.value(x)`; of a fused projection `query, key, value = "
            "self.qkv(x).chunk(3, dim=-1)`.",
            name,
        )


def _is_projected(subject: Subject, key: Tensor) -> bool:
    """Whether a linear layer made it, in a model without recurrence."""
    if any(isinstance(one, nn.RNNBase | nn.RNNCellBase) for one in subject.model.modules()):
        return False
    made = [call.returned[0] for call in traced_example(subject) if isinstance(call.module, nn.Linear)]
    keys = [key.detach().flatten(), key.detach().transpose(-1, -2).flatten()]
    return any(one.numel() == key.numel() and torch.equal(one.flatten(), flat) for one in made for flat in keys)


def _same(key: Tensor, value: Tensor) -> bool:
    """Whether one is the other times a number; the keys may have their last two axes exchanged, and be rotated."""
    value = value.detach().double()
    for one in (key.detach().double(), key.detach().double().transpose(-1, -2)):
        if one.shape != value.shape or value.shape[-2] < 3:
            continue
        sizes, wanted = one.norm(dim=-1), value.norm(dim=-1)
        factor = float(sizes.sum() / wanted.sum().clamp(min=1e-30))
        if wanted.max() < 1e-12 or (sizes - factor * wanted).abs().max() > _SAME * sizes.max():
            continue
        spread = float(wanted.std() / wanted.mean())
        exact = bool((one - factor * value).abs().max() <= _SAME * one.abs().max())
        first = bool((one[..., 0, :] - factor * value[..., 0, :]).abs().max() <= _SAME * one.abs().max())
        if exact or (first and spread > 1e-3):
            return True
    return False
