"""Weights used at every step of a loop, whose gradient is nevertheless one product."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from attentio.attention.transforms import dispatching, transforming
from attentio.layers.product import product


class DeferredWeight:
    """A weight matrix W for a loop of products y_t = x_t W^T.

    Autograd would add T small products to the gradient, one a step. Here each step only notes its input and
    its output's gradient, and when the last of them is known

        dW = sum_t dy_t^T x_t = [dy_1; ..; dy_T]^T [x_1; ..; x_T]

    is a single product. Values and gradients are those of `x @ weight.T`.

    weight: [outputs, inputs]. Make a new object for every pass through the loop.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"]) -> None:
        self.noted: list[tuple[Tensor, Tensor]] = []  # (x_t, dy_t)
        self.backward_pass = -1  # that made the notes
        self.weight: Tensor = _CollectGradient.apply(weight, self) if _deferring() else weight

    def __call__(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        if _deferring():
            return _Product.apply(inputs, self.weight, self)
        return product(inputs, self.weight)

    def of_this_pass(self) -> list[tuple[Tensor, Tensor]]:
        """The notes of the backward pass that is running. One that was asked for other gradients than the weight's
        (autograd.grad) has left notes behind that nobody collected."""
        running = torch._C._current_graph_task_id()
        if running != self.backward_pass:
            self.noted, self.backward_pass = [], running
        return self.noted


def _deferring() -> bool:
    return torch.is_grad_enabled() and not (transforming() or dispatching())


class _CollectGradient(torch.autograd.Function):
    """The identity. Autograd runs its backward after that of every product that used the weight."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, deferred: DeferredWeight) -> Tensor:
        ctx.deferred = deferred
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # What comes by autograd itself is zero, but where the backward pass is recorded.
        noted = ctx.deferred.of_this_pass()
        if not noted:
            return grads[0], None
        inputs, output_grads = (torch.cat(parts) for parts in zip(*noted, strict=True))
        noted.clear()
        return grads[0] + product(inputs.T, output_grads.T).T, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, deferred: DeferredWeight) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.deferred = deferred
        return product(inputs, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        inputs, weight = ctx.saved_tensors
        grad = grads[0].to(weight.dtype)
        if torch.is_grad_enabled():  # recorded, to be differentiated again: as autograd would do it
            rows = inputs.flatten(0, -2).to(weight.dtype)
            return F.linear(grad, weight.T).to(inputs.dtype), grad.flatten(0, -2).T @ rows, None
        ctx.deferred.of_this_pass().append((inputs.flatten(0, -2).to(weight.dtype), grad.flatten(0, -2)))
        return product(grad, weight.T).to(inputs.dtype), None, None
