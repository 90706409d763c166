"""A linear layer that multiplies with oneDNN: forward, backward, and a step at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.layers.product import product, suits_onednn

_PACK_ROWS = range(2, 257)
"""Numbers of rows that are worth oneDNN's own order of the weights: for one row there is nothing to gain, for many the
product itself takes far longer than putting the weights in order."""

_Packs = dict[tuple[int, int], Tensor]
_packs: ContextVar[_Packs | None] = ContextVar("packs", default=None)


@contextmanager
def unchanging_weights() -> Iterator[None]:
    """Inside, no weight changes, so every `Linear` may put its weights in oneDNN's order once and use them again.

    It pays for many products with few rows, as in decoding. The orders are forgotten at the end.
    """
    token = _packs.set({})
    try:
        yield
    finally:
        _packs.reset(token)


class Linear(nn.Linear):
    """x W^T + b, as torch.nn.Linear in everything but speed (float32 on a CPU)."""

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """One product forward; backward one for the inputs and one for the weight."""
        weight = self.weight
        if not suits_onednn(inputs, weight):
            return F.linear(inputs, weight, self.bias)
        if torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad):
            return _Linear.apply(inputs, weight, self.bias)
        packs = _packs.get()
        rows = inputs.numel() // inputs.shape[-1]
        if rows == 1:
            return F.linear(inputs, weight, self.bias)
        if packs is None or rows not in _PACK_ROWS:
            return product(inputs, weight, self.bias)
        about = 1 << (rows - 1).bit_length()
        packed = packs.get((id(self), about))
        if packed is None:
            packed = packs[id(self), about] = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), about)
        flat = inputs.reshape(rows, inputs.shape[-1])
        outputs = torch.ops.mkldnn._linear_pointwise(flat, packed, self.bias, "none", [], "")
        return outputs.view(*inputs.shape[:-1], weight.shape[0])


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
