"""Attention that somebody wrote by hand: a softmax over the last axis, and later a product of its result with values.

Between the two, the weights may be cast, dropped out, reshaped or multiplied by a mask: the tensors that come of them
are followed. A product contracts their last axis, the keys, with the second-last of the values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

SOFTMAXES = {torch.softmax, Tensor.softmax, F.softmax, torch.special.softmax}
PRODUCTS = {
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.__rmatmul__,
    torch.bmm,
    Tensor.bmm,
    torch.einsum,
}
_TURNING = {torch.transpose, Tensor.transpose, torch.permute, Tensor.permute, torch.swapaxes, Tensor.swapaxes}


@dataclass(eq=False)
class _Softmax:
    """One softmax, from its call to the product: dropout of its weights, whether it was reported."""

    dropout: float = 0.0
    counted: bool = False


class FollowedWeights:
    """The results of softmax, and what was made of them, as long as they live."""

    def __init__(self) -> None:
        # The original weights are held by what was made of them, never by themselves: nothing lives longer for us.
        self._made: WeakIdKeyDictionary = WeakIdKeyDictionary()

    @no_type_check  # asked with every call of torch, as is what asks
    def __bool__(self):
        return len(self._made) > 0

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], weights: Tensor) -> None:
        """A softmax was taken: follow its result if it was over the last axis."""
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if weights.ndim >= 2 and dim in (-1, weights.ndim - 1):
            self._made[weights] = (_Softmax(), None)

    def go_on(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """Some function was called: where it was given weights and gave back as many numbers, follow these too."""
        source = next((arg for arg in args[:2] if isinstance(arg, Tensor) and arg in self._made), None)
        if source is None or result is source:
            return
        if func is Tensor.__getitem__ and result.shape[:-1] == source.shape[:-1] and result.shape != source.shape:
            # The last keys cut off were no positions but a learned sink; the weights are those that are left.
            self._made[result] = (self._made[source][0], None)
            return
        if result.numel() != source.numel():
            return
        same_keys = result.ndim >= 2 and result.shape[-1] == source.shape[-1]
        if not same_keys or (func in _TURNING and result.stride(-1) != source.stride(-1)):
            return
        softmax, original = self._made[source]
        if func is F.dropout:
            given = {**dict(zip(("input", "p", "training"), args, strict=False)), **kwargs}
            softmax.dropout = given.get("p", 0.5) if given.get("training", True) else 0.0
        self._made[result] = (softmax, source if original is None else original)

    def product(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Tensor,
        variables: dict[str, Any],
    ) -> dict[str, Any] | None:
        """What to report if this product is that of followed weights with values; else None."""
        operands = _operands(func, args, kwargs)
        if operands is None or operands[0] not in self._made:
            return None
        used = operands[0]
        softmax, original = self._made[used]
        if softmax.counted:
            return None
        softmax.counted = True
        weights = _four_axes(used if original is None else original, variables)
        fits = result.numel() % max(1, weights[..., 0].numel()) == 0
        context = result.reshape(*weights.shape[:3], -1) if fits and result.ndim != 4 else result
        return {"weights": weights, "dropout": softmax.dropout, "context": context}


def _operands(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
    """(weights, values) if the arguments have the shapes of such a product."""
    if func is torch.einsum:
        return _operands_of_einsum(args)
    first, second = (*args, *kwargs.values())[:2]
    if func is Tensor.__rmatmul__:
        first, second = second, first
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        return None
    if first.ndim < 3 or second.ndim < 3 or first.shape[-1] != second.shape[-2]:
        return None
    return first, second


def _operands_of_einsum(args: tuple[Any, ...]) -> tuple[Tensor, Tensor] | None:
    equation, *tensors = args
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = list(tensors[0])
    if not isinstance(equation, str) or "->" not in equation or len(tensors) != 2:
        return None
    inputs, output = equation.replace(" ", "").split("->")
    left, right = zip(inputs.split(","), tensors, strict=True)
    for (letters, tensor), (others, other) in ((left, right), (right, left)):
        keys = letters[-1]
        if tensor.ndim >= 3 and keys in others and keys not in output:
            return tensor, other
    return None


def _four_axes(weights: Tensor, variables: dict[str, Any]) -> Tensor:
    """[batch, heads, q, k]. [n, q, k] may have batch and heads in one axis: the module's input tells how many
    sequences there are."""
    if weights.ndim == 4:
        return weights
    if weights.ndim == 2:
        return weights[:, None, None]
    if weights.ndim > 4:
        return weights.flatten(0, -4)
    inputs = (value for value in variables.values() if isinstance(value, Tensor) and value.ndim == 3)
    batch = next((value.shape[0] for value in inputs if value.shape[1] == weights.shape[1]), len(weights))
    return weights.unflatten(0, (batch, -1)) if batch and len(weights) % batch == 0 else weights.unsqueeze(1)
