"""A loss of the logits of a linear layer, without ever holding those of a whole batch."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.layers.product import product

ROWS_AT_A_TIME = 256
"""Positions whose logits exist at one time: enough for an efficient product, few enough to stay near the cache."""

OfLogits = Callable[[Float[Tensor, "rows vocab"], slice], tuple[Tensor, Float[Tensor, "rows vocab"]]]
"""The loss of some rows and its gradient by their logits, given these, which it may overwrite, and which they are."""


def linear_loss(
    features: Float[Tensor, "positions features"],
    weight: Float[Tensor, "vocab features"],
    bias: Float[Tensor, "vocab"] | None,
    of_logits: OfLogits,
) -> Float[Tensor, ""]:
    """Sum over positions of what `of_logits` makes of features W^T + b.

    The gradient is made in the forward pass, a block of rows at a time, while the block's logits are at hand. A second
    derivative is an error. Under autocast each product is rounded once; what is reckoned from it, and every sum, is
    not.
    """
    return cast(Tensor, _LinearLoss.apply(features, weight, bias, of_logits))


class _LinearLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, of_logits: OfLogits) -> Tensor:
        device, exact = weight.device.type, weight.dtype
        rounded = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else exact
        grad_features = torch.empty_like(features, dtype=exact)
        grad_weight, grad_bias = torch.zeros_like(weight.T), weight.new_zeros(len(weight))
        loss = weight.new_zeros(())
        features, weight = features.to(rounded), weight.to(rounded)
        # Memory that is taken anew for every block costs more than what is reckoned in it.
        multiplied = weight.new_empty(min(ROWS_AT_A_TIME, len(features)), len(weight))
        room = multiplied if exact == rounded else torch.empty_like(multiplied, dtype=exact)
        with torch.autocast(device, enabled=False):
            for start in range(0, len(features), ROWS_AT_A_TIME):
                rows = slice(start, start + ROWS_AT_A_TIME)
                read = features[rows]
                factor = multiplied[: len(read)]
                torch.mm(read, weight.T, out=factor)
                logits = room[: len(read)].copy_(factor)
                if bias is not None:
                    logits += bias
                summed, grad = of_logits(logits, rows)
                loss += summed
                grad_bias += grad.sum(0)
                factor.copy_(grad)
                grad_features[rows] = product(factor, weight.T)
                grad_weight += product(read.T, factor.T)
        ctx.save_for_backward(grad_features, grad_weight.T, grad_bias)
        ctx.has_bias = bias is not None
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: the gradient would be a constant to it, without a word
            raise RuntimeError("this loss has no second derivative; call backward without create_graph")
        features, weight, bias = (saved * grads[0] for saved in ctx.saved_tensors)
        return features, weight, bias if ctx.has_bias else None, None
