"""A linear layer that multiplies with oneDNN: forward, backward, and a step at a time."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.layers.product import product, suits_onednn

_PACK_ROWS = range(2, 257)
"""Numbers of rows for which weights are kept in oneDNN's own order: for one row there is nothing to gain, for many
the product itself takes far longer than putting the weights in order."""


class Linear(nn.Linear):
    """x W^T + b, as torch.nn.Linear in everything but speed (float32 on a CPU)."""

    _packed: tuple[tuple[int, int, int], Tensor] | None = None

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """One product forward; backward one for the inputs and one for the weight."""
        weight = self.weight
        if not suits_onednn(inputs, weight):
            return F.linear(inputs, weight, self.bias)
        if torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad):
            return _Linear.apply(inputs, weight, self.bias)
        rows = inputs.numel() // inputs.shape[-1]
        if rows not in _PACK_ROWS:
            return F.linear(inputs, weight, self.bias) if rows == 1 else product(inputs, weight, self.bias)
        flat = inputs.reshape(rows, inputs.shape[-1])
        outputs = torch.ops.mkldnn._linear_pointwise(flat, self._in_order(rows), self.bias, "none", [], "")
        return outputs.view(*inputs.shape[:-1], weight.shape[0])

    def _in_order(self, rows: int) -> Tensor:
        """The weight as oneDNN wants it for about this many rows; made again when the weight has changed."""
        weight = self.weight
        if weight.is_inference():  # it does not tell when it changes
            return weight
        about = 1 << (rows - 1).bit_length()
        key = (weight.data_ptr(), weight._version, about)
        if self._packed is None or self._packed[0] != key:
            self._packed = (key, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), about))
        return self._packed[1]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.has_bias = bias is not None
        return product(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        rows, flat = grads[0].flatten(0, -2), inputs.flatten(0, -2)
        multiply = _differentiable if torch.is_grad_enabled() else product
        needs_inputs, needs_weight, _ = ctx.needs_input_grad
        grad_inputs = multiply(rows, weight.T).view(inputs.shape) if needs_inputs else None
        grad_weight = multiply(rows.T, flat.T) if needs_weight else None
        return grad_inputs, grad_weight, rows.sum(0) if ctx.has_bias else None


def _differentiable(inputs: Tensor, weight: Tensor) -> Tensor:
    return F.linear(inputs, weight)
