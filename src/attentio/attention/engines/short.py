"""Dot products one after the other, in place: for short sequences, whose scores fit in the cache.

    context = softmax(scale query key^T + bias) value

What torch's fused kernel saves, the writing and reading of the scores, costs nothing as long as they stay in the
cache; there two batched matrix products and a softmax are quicker.
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot, ScaledDot, dot_scale
from attentio.attention.engines import reference
from attentio.attention.engines.differentiable import recorded_gradients_by_weights
from attentio.attention.engines.engine import NOTHING_TO_DO, Plan
from attentio.attention.shield import came_out_finite
from attentio.attention.transforms import recording
from attentio.devices import in_full_precision

SUMMARY = "batched products in place, for short sequences"

_MOST_SCORES = 128 * 128
"""Scores of a head, up to which it is faster than torch's kernel."""
_FEW_QUERIES = 64
"""Queries in all heads of all sequences, below which torch's kernel costs less to call."""
_AT_ONCE = 1 << 18
"""Scores that are made together where nobody wants them afterwards: 1 MB."""


def refuses(call: Call) -> str | None:
    if type(call.score) not in (Dot, ScaledDot):
        return f"it compares by dot products only, and score is {type(call.score).__name__}"
    if call.dropout:
        return "it has no dropout"
    if call.is_empty():
        return NOTHING_TO_DO
    if call.key.device.type != "cpu" or torch.compiler.is_compiling():
        return "it is for the CPU, not compiled"
    if call.query.dtype not in (torch.float32, torch.float64):
        return f"it sums in the dtype of the query, and {call.query.dtype} is too coarse for that"
    return None


def plan(call: Call) -> Plan:
    return Plan(run, _slower_because(call))


def _slower_because(call: Call) -> str | None:
    if call.need_weights:  # torch's kernel has none
        return None
    if call.query.shape[:-1].numel() < _FEW_QUERIES:
        return f"there are fewer than {_FEW_QUERIES} queries in all heads, and torch's kernel costs less to call"
    if call.query.shape[2] * call.key.shape[2] > _MOST_SCORES:
        return f"the scores of a head are more than {_MOST_SCORES:,} and would leave the cache"
    return None


def run(call: Call) -> Attended:
    differentiable = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (call.query, call.key, call.value, call.bias)
    )
    assert isinstance(call.score, Dot | ScaledDot)
    scale = dot_scale(call.score, call.query)
    forbidden, weights = _forbidden(call.allowed(), call.query), None
    tensors = call.query, call.key, call.value
    if differentiable:
        context, weights = _Products.apply(*tensors, call.bias, forbidden, scale)
    elif call.need_weights:
        context, weights = _at_once(*tensors, _sum(call.bias, forbidden), scale)
    else:
        context = _in_pieces(*tensors, _sum(call.bias, forbidden), scale)
    if not (call.mask is None and call.bias is None) and not came_out_finite(context, call):
        return reference.run(call)  # an empty row, or NaN
    return Attended(context, weights if call.need_weights else None)


def _forbidden(allowed: Bool[Tensor, "*_ _ _"] | None, like: Tensor) -> Float[Tensor, "*_ _ _"] | None:
    """-inf where nothing is allowed, else 0: adding this is faster than filling it in."""
    return None if allowed is None else like.new_zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))


def _sum(bias: Tensor | None, forbidden: Tensor | None) -> Tensor | None:
    if bias is None or forbidden is None:
        return forbidden if bias is None else bias
    return bias + forbidden


def _attend(
    query: Float[Tensor, "batch heads q d"],
    key: Float[Tensor, "batch heads k d"],
    value: Float[Tensor, "batch heads k dv"],
    added: Float[Tensor, "*_ _ _"] | None,
    scale: float,
    weights: Float[Tensor, "batch heads q k"],
    context: Float[Tensor, "batch heads q dv"],
) -> None:
    """Writes weights and context to where they are wanted."""
    flat_query, flat_key, flat_value = (tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (query, key, value))
    scores = weights.view(-1, *weights.shape[-2:])
    torch.baddbmm(scores, flat_query, flat_key.transpose(1, 2), beta=0, alpha=scale, out=scores)
    if added is not None:
        weights += added
    torch.softmax(scores, dim=-1, out=scores)
    torch.bmm(scores, flat_value, out=context.view(-1, *context.shape[-2:]))


def _at_once(
    query: Tensor, key: Tensor, value: Tensor, added: Tensor | None, scale: float
) -> tuple[Float[Tensor, "batch heads q dv"], Float[Tensor, "batch heads q k"]]:
    lead = query.shape[:-1]
    weights, context = query.new_empty(*lead, key.shape[-2]), query.new_empty(*lead, value.shape[-1])
    _attend(query, key, value, added, scale, weights, context)
    return context, weights


def _in_pieces(
    query: Float[Tensor, "batch heads q d"],
    key: Float[Tensor, "batch heads k d"],
    value: Float[Tensor, "batch heads k dv"],
    added: Float[Tensor, "*_ _ _"] | None,
    scale: float,
) -> Float[Tensor, "batch heads q dv"]:
    """As many sequences at once as keep their scores in the cache; all use the same memory, one after the other."""
    batch, shape = len(query), (*query.shape[1:-1], key.shape[-2])
    size = max(1, _AT_ONCE // math.prod(shape))
    if size >= batch:
        return _at_once(query, key, value, added, scale)[0]
    own = added is not None and added.ndim == 4 and len(added) > 1
    scores, context = query.new_empty(size, *shape), query.new_empty(*query.shape[:-1], value.shape[-1])
    for first in range(0, batch, size):
        rows = slice(first, min(first + size, batch))
        part = added[rows] if own and added is not None else added
        _attend(query[rows], key[rows], value[rows], part, scale, scores[: rows.stop - first], context[rows])
    return context


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Any, forbidden: Any, scale: float) -> Any:
        context, weights = _at_once(query, key, value, _sum(bias, forbidden), scale)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale, ctx.bias_shape = scale, None if bias is None else bias.shape
        ctx.set_materialize_grads(False)
        return context, weights

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, grad_context: Tensor | None, grad_weights: Tensor | None) -> Any:
        query, key, value, weights = ctx.saved_tensors
        if recording(grad_context, grad_weights):
            compared, of_value, of_scores = recorded_gradients_by_weights(
                ScaledDot(ctx.scale), (query, key), value, weights, grad_context, grad_weights
            )
            of_bias = of_scores.sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[3] else None
            return *compared, of_value, of_bias, None, None
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
        grad_bias = grad.view_as(weights).sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[3] else None
        return grad_query, grad_key, grad_value, grad_bias, None, None
