"""Dot products one after the other, in place: for short sequences, whose scores fit in the cache.

    context = softmax(scale query key^T + bias) value

What torch's fused kernel saves, the writing and reading of the scores, costs nothing as long as they stay in the
cache; there two batched matrix products and a softmax are quicker.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot, ScaledDot, require_same_features
from attentio.attention.engines import reference
from attentio.attention.shield import came_out_finite

SUMMARY = "batched products in place, for short sequences"

_MOST_SCORES = 128 * 128
"""Of a head, up to which the scores stay in the cache: measured, see docs/engines.md."""


def refuses(call: Call) -> str | None:
    if type(call.score) not in (Dot, ScaledDot):
        return f"it compares by dot products only, and score is {type(call.score).__name__}"
    if call.dropout:
        return "it has no dropout"
    if call.key.shape[-2] == 0:
        return "there are no keys"
    if call.key.device.type != "cpu" or torch.compiler.is_compiling():
        return "it is for the CPU, not compiled"
    if call.query.dtype not in (torch.float32, torch.float64):
        return f"it sums in the dtype of the query, and {call.query.dtype} is too coarse for that"
    return None


def yields(call: Call) -> str | None:
    if call.need_weights:  # torch's kernel has none
        return None
    if call.query.shape[-2] == 1:
        return "there is one query a head, and torch's kernel is quicker then"
    if call.query.shape[-2] * call.key.shape[-2] > _MOST_SCORES:
        return f"the scores of a head are more than {_MOST_SCORES:,} and would leave the cache"
    return None


def run(call: Call) -> Attended:
    require_same_features(call.query, call.key)
    differentiable = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (call.query, call.key, call.value, call.bias)
    )
    arguments = (call.query, call.key, call.value, call.allowed(), call.bias, _scale(call))
    context, weights = _Products.apply(*arguments) if differentiable else _forward(*arguments)
    if not (call.mask is None and call.bias is None) and not came_out_finite(context, call):
        return reference.run(call)  # an empty row, or NaN
    return Attended(context, weights if call.need_weights else None)


def _scale(call: Call) -> float:
    if isinstance(call.score, Dot):
        return 1.0
    assert isinstance(call.score, ScaledDot)
    return call.query.shape[-1] ** -0.5 if call.score.scale is None else call.score.scale


def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Bool[Tensor, "... _ _"] | None,
    bias: Tensor | None,
    scale: float,
) -> tuple[Float[Tensor, "batch *heads q dv"], Float[Tensor, "batch *heads q k"]]:
    lead, q, k = query.shape[:-2], query.shape[-2], key.shape[-2]
    flat_query, flat_key, flat_value = (tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (query, key, value))
    scores = query.new_empty(len(flat_query), q, k)
    torch.baddbmm(scores, flat_query, flat_key.transpose(1, 2), beta=0, alpha=scale, out=scores)
    shaped = scores.view(*lead, q, k)
    if bias is not None:
        shaped += bias
    if allowed is not None:
        shaped.masked_fill_(~allowed, float("-inf"))
    weights = torch.softmax(scores, dim=-1, out=scores)
    return torch.bmm(weights, flat_value).view(*lead, q, value.shape[-1]), shaped


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, allowed: Any, bias: Any, scale: float) -> Any:
        context, weights = _forward(query, key, value, allowed, bias, scale)
        ctx.save_for_backward(query, key, value, weights, bias)
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        return context, weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_context: Tensor | None, grad_weights: Tensor | None) -> Any:
        query, key, value, weights, bias = ctx.saved_tensors
        flat = weights.flatten(0, -3)
        q3, k3, v3 = (tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (query, key, value))
        grad_value = None
        grad = torch.zeros_like(flat) if grad_weights is None else grad_weights.flatten(0, -3).clone()
        if grad_context is not None:
            upstream = grad_context.reshape(-1, *grad_context.shape[-2:])
            torch.baddbmm(grad, upstream, v3.transpose(1, 2), beta=0 if grad_weights is None else 1, out=grad)
            grad_value = torch.bmm(flat.transpose(1, 2), upstream).view_as(value)
        # Through the softmax: dS = P * (dP - sum_k P dP)
        grad = torch._softmax_backward_data(grad, flat, -1, flat.dtype)
        grad_query = torch.baddbmm(grad.new_empty(()), grad, k3, beta=0, alpha=ctx.scale).view_as(query)
        grad_key = torch.baddbmm(grad.new_empty(()), grad.transpose(1, 2), q3, beta=0, alpha=ctx.scale).view_as(key)
        grad_bias = grad.view_as(weights).sum_to_size(bias.shape) if ctx.needs_input_grad[4] else None
        return grad_query, grad_key, grad_value, None, grad_bias, None
