"""Attention weights are given out after dropout: in training they do not sum to 1, and some that count are 0.

Seen in the model's outputs: rows that sum to 1 in evaluation and do not in training.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from attentio.copies import copy_of
from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject

ID = "weights-after-dropout"
TITLE = "weights are returned as they were before dropout"
NEEDS = ()


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Run the model in evaluation and in training."""
    weights = {path: tensor for path, tensor in subject.base.items() if _rows_sum_to_one(tensor)}
    if not weights:
        raise Skip("no output is a tensor of attention weights [.., q, k]")
    training = copy_of(subject.model).train()
    try:
        run = dict(flatten(subject.call(model=training)))
    except Exception as error:
        raise Skip(f"the model raised {type(error).__name__} in training mode: {error}") from error
    for path, tensor in weights.items():
        after = run.get(path, tensor).double()
        if after.shape != tensor.shape or not after.isfinite().all() or (after < 0).any():  # no weights then
            continue
        off = ((after.sum(-1) - 1).abs() > 1e-3) & (tensor.sum(-1) > 0.5)
        if not off.any():
            continue
        yield Finding(
            ID,
            "warning",
            f"the weights in {path or 'the output'} are from after dropout",
            "Dropout sets some weights to 0 and makes the others larger. That is right for the context; but what is "
            "returned is shown, logged, or taken as an alignment, and there the rows no longer sum to 1, and what was "
            "looked at most may be missing.",
            {
                "rows that do not sum to 1 in training": int(off.sum()),
                "of": off.numel(),
                "smallest sum": float(after.sum(-1).min()),
                "largest": float(after.sum(-1).max()),
            },
            "Keep the weights before dropout for the return: dropped = F.dropout(weights, p, self.training); "
            "context = dropped @ value; return context, weights.",
        )


def _rows_sum_to_one(tensor: Tensor) -> bool:
    if tensor.ndim < 3 or tensor.shape[-1] < 2 or not tensor.numel():
        return False
    sums = tensor.double().sum(-1)
    ones = (sums - 1).abs() < 1e-3
    return bool((tensor >= 0).all() and (ones | (sums == 0)).all() and ones.any() and torch.isfinite(sums).all())
