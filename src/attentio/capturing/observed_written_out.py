"""Attention written out in the model's own code, as an observed call: its weights and what came out."""

from typing import Any

import torch
from torch import Tensor

from attentio.capturing.tracer import WrittenOut


def describe_written_out(one: WrittenOut, given: list[Tensor]) -> dict[str, Any] | None:
    """given: what the modules on the stack were given, those of the outermost first.

    None where this is no attention: softmax over the last axis, the keys, which the product sums over."""
    axis = one.softmax.axis
    # An axis with nothing but axes of size 1 behind it is the last one of numbers.
    over_keys = one.summed == axis and all(n == 1 for n in one.weights.shape[axis:][1:])
    if not over_keys or one.used.ndim < 3 or one.values.ndim < 3:
        return None
    turned = one.weights if axis == -1 else one.weights.movedim(axis, -1)
    weights, unclear = _four_axes(turned, one, batch_size(given, turned.shape[-2], turned.shape[-1]))
    context = one.context
    if (
        context.ndim != 4
        and context.shape[-2] == weights.shape[2]
        and context.numel() % max(1, weights[..., 0].numel()) == 0
    ):
        context = context.reshape(*weights.shape[:3], -1)
    return {"weights": weights, "dropout": one.dropout, "context": context, "unclear": unclear}


def _four_axes(weights: Tensor, one: WrittenOut, batch: int | None) -> tuple[Tensor, bool]:
    """[batch, heads, q, k], and whether it is unclear which axis, or which part of one, the heads are."""
    if weights.ndim == 2:
        return weights[:, None, None], False
    if weights.ndim > 4:
        return four_axes(weights, batch), False
    if weights.ndim == 3:
        if batch is None:
            return weights.unsqueeze(1), True
        if len(weights) == batch:
            return weights.unsqueeze(1), False
        if batch and len(weights) % batch == 0:  # sequences first, as most write it; heads first looks the same
            return weights.unflatten(0, (batch, -1)), batch > 1
        return weights.unsqueeze(1), True
    first, second = weights.shape[:2]
    heads_first = _heads_are_first(one.values) if one.values.shape[:2] == one.used.shape[:2] else None
    if heads_first is not None and _exchanged(weights, one.used):
        heads_first = not heads_first
    if heads_first is None and batch is not None and first != second:
        heads_first = False if first == batch else True if second == batch else None
    return weights.transpose(0, 1) if heads_first else weights, heads_first is None and first > 1 and second > 1


def four_axes(tensor: Tensor, batch: int | None) -> Tensor:
    """[batch, heads, n, d] of a tensor of more axes: behind the sequences stand groups of heads that share a key; where
    the first axis is not the sequences', windows stand beside them."""
    return tensor.flatten(1, -3) if len(tensor) == batch else tensor.flatten(0, -4)


def _heads_are_first(values: Tensor) -> bool | None:
    """Whether the first axis of values [_, _, k, dv] is the heads', where these were cut from features: neighbours in
    memory, dv numbers apart. None where the values were copied since, so that memory does not tell."""
    if values.ndim != 4 or values.shape[2] < 2 or 1 in values.shape[:2]:
        return None
    apart = [stride == values.shape[3] * values.stride(3) for stride in values.stride()[:2]]
    return None if apart[0] == apart[1] else apart[0]


def _exchanged(weights: Tensor, used: Tensor) -> bool:
    """Whether the first two axes of `weights` had changed their places when they were multiplied, as `used`."""
    if weights.shape[0] != weights.shape[1]:
        return used.shape[:2] != weights.shape[:2]
    has_numbers = type(used) is Tensor and not used.is_meta and not torch._C._are_functorch_transforms_active()
    if has_numbers and used.shape == weights.shape and len(used) > 1 and not torch.equal(weights[0, 1], weights[1, 0]):
        for row, exchanged in ((weights[0, 1], False), (weights[1, 0], True)):
            if torch.equal(used[0, 1], row):
                return exchanged
    # After dropout or a cast the numbers do not tell, but where they lie.
    return (used.stride(0) < used.stride(1)) != (weights.stride(0) < weights.stride(1))


def batch_size(given: list[Tensor], q_len: int, k_len: int) -> int | None:
    """How many sequences the model was given: tensors with as many positions as there are queries, or keys."""
    for length in (q_len, k_len):
        for axis in (1, 0):  # sequences first, then positions first
            for tensor in given:
                if tensor.ndim >= 2 + tensor.is_floating_point() and tensor.shape[axis] == length:
                    return tensor.shape[1 - axis]
        for tensor in given:  # an image, or a sequence as convolutions have it
            if tensor.ndim >= 3 and tensor.shape[2:].numel() == length:
                return tensor.shape[0]
        for tensor in given:
            if tensor.ndim == 1 + tensor.is_floating_point() and tensor.shape[0] == length:
                return 1
    return None
