"""Weights used at every step of a loop, whose gradient is nevertheless one product."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class DeferredWeight:
    """A weight matrix W for a loop of products y_t = x_t W^T.

    Autograd would add T small products to the gradient, one a step. Here each step only notes its input and
    its output's gradient, and when the last of them is known

        dW = sum_t dy_t^T x_t = [dy_1; ..; dy_T]^T [x_1; ..; x_T]

    is a single product. Values and gradients are those of `x @ weight.T`; a second derivative is an error.

    weight: [outputs, inputs]. Make a new object for every pass through the loop.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"]) -> None:
        self.steps = 0
        self.noted: dict[int, tuple[Tensor, Tensor]] = {}  # step -> (x_t, dy_t)
        self.weight: Tensor = _CollectGradient.apply(weight, self) if torch.is_grad_enabled() else weight

    def __call__(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        if torch.is_grad_enabled():
            return _Product.apply(inputs, self.weight, self)
        return inputs @ self.weight.T


class _CollectGradient(torch.autograd.Function):
    """The identity. Autograd runs its backward after that of every product that used the weight."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, deferred: DeferredWeight) -> Tensor:
        ctx.deferred = deferred
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, None]:
        deferred = ctx.deferred
        if not deferred.noted:
            return None, None
        inputs, output_grads = (torch.cat(parts) for parts in zip(*deferred.noted.values(), strict=True))
        deferred.noted.clear()
        return output_grads.T @ inputs, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, deferred: DeferredWeight) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.deferred, ctx.step = deferred, deferred.steps
        deferred.steps += 1
        return inputs @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        inputs, weight = ctx.saved_tensors
        grad = grads[0].to(weight.dtype)
        ctx.deferred.noted[ctx.step] = inputs.flatten(0, -2).to(weight.dtype), grad.flatten(0, -2)
        return (grad @ weight).to(inputs.dtype), None, None
