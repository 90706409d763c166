"""torch's fused scaled_dot_product_attention: dot products without ever holding all the weights."""

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot, ScaledDot, dot_scale, require_same_features
from attentio.attention.mask import Causal
from attentio.attention.normalize import empty_rows
from attentio.attention.shield import came_out_finite, guarded

SUMMARY = "torch's fused kernel for dot products"


def refuses(call: Call) -> str | None:
    if type(call.score) not in (Dot, ScaledDot):
        return f"it compares by dot products only, and score is {type(call.score).__name__}"
    if call.need_weights:
        return "it never holds the weights, and need_weights is True"
    if call.key.shape[-2] == 0:
        return "there are no keys"
    return None


def yields(call: Call) -> str | None:
    return None


def run(call: Call) -> Attended:
    require_same_features(call.query, call.key)
    if call.mask is None:
        return _compute(call, None)
    if call.bias is None and _is_torch_causal(call) and not torch.compiler.is_compiling():
        attended = _compute(call, None, is_causal=True)
        if came_out_finite(attended.context, call):
            return attended
    allowed = call.allowed()
    assert allowed is not None
    return guarded(_compute, call, allowed)


def _is_torch_causal(call: Call) -> bool:
    """torch's `is_causal` puts query 0 at key 0, whatever their numbers."""
    same_length = call.query.shape[-2] == call.key.shape[-2]
    return isinstance(call.mask, Causal) and (call.mask.align == "start" or same_length)


def _compute(call: Call, allowed: Bool[Tensor, "... _ _"] | None, *, is_causal: bool = False) -> Attended:
    attn_mask, empty = _merge(allowed, call.bias)
    query, key, value = call.query, call.key, call.value
    one_head = query.ndim == 3
    if one_head:
        # Only tensors with an axis of heads reach the fused kernels.
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        attn_mask = attn_mask.unsqueeze(1) if attn_mask is not None and attn_mask.ndim == 3 else attn_mask
    assert isinstance(call.score, Dot | ScaledDot)
    scale = dot_scale(call.score, query)
    context = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attn_mask, dropout_p=call.dropout, is_causal=is_causal, scale=scale
    )
    if one_head:
        context = context.squeeze(1)
    return Attended(context if empty is None else context.masked_fill(empty, 0.0), weights=None)


def _merge(allowed: Bool[Tensor, "... _ _"] | None, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Mask and bias as one `attn_mask`, and its empty rows: torch's kernels and versions disagree about
    these, so their keys are all allowed here and their context is set to 0 afterwards."""
    if bias is not None:
        added = bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))
        empty = empty_rows(added)
        return added.masked_fill(empty, 0.0), empty
    if allowed is not None:
        empty = empty_rows(allowed)
        return allowed | empty, empty
    return None, None
