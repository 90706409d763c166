"""A linear layer that multiplies with oneDNN: forward, backward, and a step at a time."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.attention.transforms import recording
from attentio.layers.packed import PackedWeights
from attentio.layers.product import product, suits_onednn

_FEW_ROWS = 512
"""Up to here it pays to put the weights in the order that the product wants them in; for more rows the product itself
takes far longer than that."""


def linear(
    inputs: Float[Tensor, "*batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "outputs"] | None = None,
) -> Float[Tensor, "*batch outputs"]:
    """x W^T + b, as torch.nn.functional.linear in everything but speed (float32 on a CPU): one product forward;
    backward one for the inputs and one for the weight."""
    if not suits_onednn(inputs, weight):
        return F.linear(inputs, weight, bias)
    if _differentiable(inputs, weight, bias):
        return _Linear.apply(inputs, weight, bias)
    return product(inputs, weight, bias)


class Linear(nn.Linear):
    """x W^T + b, as torch.nn.Linear in everything but speed (float32 on a CPU)."""

    def forward(
        self, inputs: Float[Tensor, "*batch inputs"], packed: PackedWeights | None = None
    ) -> Float[Tensor, "*batch outputs"]:
        """`linear`, faster for few rows with packed weights."""
        weight, rows = self.weight, inputs.numel() // inputs.shape[-1]
        few = packed is not None and rows <= _FEW_ROWS and suits_onednn(inputs, weight)
        if packed is None or not few or _differentiable(inputs, weight, self.bias):
            return linear(inputs, weight, self.bias)
        about = 1 << (rows - 1).bit_length()
        reordered = packed.get((self, about), lambda: _reordered(weight.detach(), about))
        if rows == 1:
            return F.linear(inputs, reordered, self.bias)
        flat = inputs.reshape(rows, inputs.shape[-1])
        outputs = torch.ops.mkldnn._linear_pointwise(flat, reordered, self.bias, "none", [], "")
        return outputs.view(*inputs.shape[:-1], weight.shape[0])


def _reordered(weight: Tensor, rows: int) -> Tensor:
    """For one row the longer axis outermost, as MKL is quickest; for more, oneDNN's own order."""
    if rows == 1:
        outputs, inputs = weight.shape
        return weight.T.contiguous().T if outputs > inputs else weight
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.has_bias = bias is not None
        return product(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        rows, flat = (tensor.reshape(-1, tensor.shape[-1]) for tensor in (grads[0], inputs))
        multiply = F.linear if recording(*grads) else product
        needs_inputs, needs_weight, _ = ctx.needs_input_grad
        grad_inputs = multiply(rows, weight.T).view(inputs.shape) if needs_inputs else None
        # Here MKL has the advantage: it reads both where they lie, which oneDNN would first transpose.
        grad_weight = rows.T @ flat if needs_weight else None
        return grad_inputs, grad_weight, rows.sum(0) if ctx.has_bias else None


def _differentiable(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    parts = (inputs, weight, bias)
    return torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in parts)
