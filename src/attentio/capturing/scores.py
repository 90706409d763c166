"""Scores as a model's own code made them: which keys are masked, what they were scaled by, what was added to them."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from attentio.capturing.tracer import Softmax
from attentio.devices import as_float64

MASKED = -5e3
"""A score, or a number added to one, that is not above this masks its key.

Masks add -inf, the least number of a dtype, -1e9, or -1e4 as BERT's first code did. Half of -1e4 leaves room for
rounding (-1e4 is -9984 in bfloat16) and for the score that the number was added to.
"""


class ZeroOne(NamedTuple):
    """A mask of the numbers 0 and 1, and what was done with it to scores: neither forbids anything."""

    mask: Tensor
    how: Literal["added", "multiplied"]


def is_masked(scores: Tensor) -> Tensor:
    """bool, of the same shape: which of these scores, or of these numbers added to scores, mask their key."""
    return scores <= MASKED


def is_zero_one(tensor: Tensor) -> bool:
    """Whether a floating-point tensor holds 0 and 1, both, and nothing else but what masks."""
    if not tensor.is_floating_point() or tensor.ndim < 2:
        return False
    ones, zeros = tensor == 1, tensor == 0
    return bool(ones.any() and zeros.any() and (ones | zeros | is_masked(tensor)).all())


def zero_one_of(softmax: Softmax) -> ZeroOne | None:
    """The mask of 0 and 1 that was added to the scores, or that they were multiplied by and that was not masked by
    other means besides, as in GPT's first code; None if there is no such tensor."""
    if softmax.product is None or softmax.scores is None:
        return None
    for tensor in softmax.product.added:
        if is_zero_one(tensor):
            return ZeroOne(tensor, "added")
    for tensor in softmax.product.multiplied:
        if is_zero_one(tensor.double()) and _open(softmax.scores, tensor == 0):
            return ZeroOne(tensor, "multiplied")
    return None


def _open(scores: Tensor, places: Tensor) -> bool:
    """Whether some scores at these places mask nothing; False where the shapes do not fit any more."""
    try:
        places = places.expand_as(scores)
    except RuntimeError:
        return False
    return bool((places & ~is_masked(scores)).any())


def scale_of(softmax: Softmax) -> float | None:
    """The number s for which scores = s * products + something constant along each row; None where there is none.

    What queries and keys were multiplied by before counts as a part of s.
    """
    if softmax.product is None or softmax.scores is None or softmax.axis != -1:
        return None
    products = as_float64(softmax.product.again().detach())
    if products.numel() != softmax.scores.numel():
        return None
    scores = as_float64(softmax.scores.detach()).reshape(products.shape)
    allowed = ~is_masked(scores)
    centred = [torch.where(allowed, each - _mean(each, allowed), 0.0).nan_to_num() for each in (products, scores)]
    scale = float((centred[0] * centred[1]).sum() / centred[0].square().sum().clamp_min(1e-30))
    rest = (centred[1] - scale * centred[0]).square().sum()
    exact = rest <= 1e-6 * centred[1].square().sum()
    return scale * softmax.product.factor if exact and scale > 0 else None


def _mean(tensor: Tensor, allowed: Tensor) -> Tensor:
    return torch.where(allowed, tensor, 0.0).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True).clamp_min(1)
