"""The model writes into the tensors that it was called with.

The caller's mask or features are then something else in the next call, in the loss, or in another process that shares
them. Seen by comparing what was given before and after a call, in evaluation and in training.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.pieces import tensors_in
from attentio.doctor.probes.training import Trained

ID = "overwrites-inputs"
TITLE = "what the model is called with stays as it was"
NEEDS = ()

CACHE_AXES = 4
"""Keys and values of a cache have so many, and are there to be written into."""


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """One call in each mode; one finding for each input that changes."""
    found: dict[str, dict[str, Any]] = {}
    models = {"evaluation": subject.model, "training": Trained(subject, batch_statistics=True).model}
    for mode, model in models.items():
        values = subject.copied()
        before = {name: [one.clone() for one in tensors_in(value)] for name, value in values.items()}
        try:
            subject.reproducibly(partial(subject.inputs.call, model, values))
        except Exception as error:
            if mode == "evaluation":
                raise Skip(f"the model raised {type(error).__name__}: {error}") from error
            continue
        for name, value in values.items():
            changed = sum(_changed(old, new) for old, new in zip(before[name], tensors_in(value), strict=False))
            if changed:
                found.setdefault(name, {})[f"numbers of {name} that a call in {mode} changed"] = changed
    for name, evidence in found.items():
        yield _finding(subject, name, evidence)


def _changed(before: Tensor, after: Tensor) -> int:
    if before.shape != after.shape:
        return max(before.numel(), after.numel())
    same = (
        torch.isclose(before, after, rtol=0, atol=0, equal_nan=True) if before.is_floating_point() else before == after
    )
    return int((~same).sum())


def _finding(subject: Subject, name: str, evidence: dict[str, Any]) -> Finding:
    value = subject.inputs.values[name]
    cache = not isinstance(value, Tensor) or value.ndim >= CACHE_AXES
    return Finding(
        ID,
        "note" if cache else "error",
        f"a call changes {name}, which belongs to the caller",
        f"The model was called, and {name} held other numbers afterwards: an operation that works in place (its name "
        "ends in _, or it is `+=`, `[..] =`) wrote into it, or into a view of it. A second call with the same tensors "
        "gives another result, the loss is taken over other inputs than the data had, and a mask that is kept for "
        "later is no longer what it was."
        + (" A cache is there to be written into: then nothing is wrong." if cache else ""),
        evidence,
        "Write into a new tensor: `x = x + y` in place of `x += y`, `mask = mask.masked_fill(..)` in place of "
        "`mask.masked_fill_(..)`, or begin with `mask = mask.clone()`.",
    )
