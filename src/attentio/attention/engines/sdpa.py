"""torch's fused scaled_dot_product_attention: dot products without ever holding all the weights."""

import functools
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot, ScaledDot, dot_scale
from attentio.attention.engines import reference
from attentio.attention.engines.differentiable import give_second_derivative
from attentio.attention.engines.engine import Plan
from attentio.attention.mask_kinds import Causal
from attentio.attention.normalize import empty_rows
from attentio.attention.shield import guarded, known_finite

SUMMARY = "torch's fused kernel for dot products"

_FEW_KEYS = 16
"""On a CPU, without `attn_mask`, torch's kernel gives context 0 to a query whose scores are all NaN, if there are fewer
keys than this."""


def refuses(call: Call) -> str | None:
    if type(call.score) not in (Dot, ScaledDot):
        return f"it compares by dot products only, and score is {type(call.score).__name__}"
    if call.need_weights:
        return "it never holds the weights, and need_weights is True"
    if call.key.shape[2] == 0:
        return "there are no keys"
    return None


def plan(call: Call) -> Plan:
    return Plan(run)


def run(call: Call) -> Attended:
    if _would_hide_nan(call):
        return reference.run(call)
    if call.mask is None:
        return _compute(call, None)
    if call.bias is None and _is_torch_causal(call) and not torch.compiler.is_compiling():
        return guarded(functools.partial(_compute, is_causal=True), call, None)
    allowed = call.allowed()
    assert allowed is not None
    return guarded(_compute, call, allowed)


def _would_hide_nan(call: Call) -> bool:
    if torch.compiler.is_compiling() or call.query.device.type != "cpu" or call.key.shape[2] >= _FEW_KEYS:
        return False
    return call.bias is None and not known_finite(call.query, call.key)


def _is_torch_causal(call: Call) -> bool:
    """torch's `is_causal` puts query 0 at key 0, whatever their numbers."""
    same_length = call.query.shape[2] == call.key.shape[2]
    return isinstance(call.mask, Causal) and (call.mask.align == "start" or same_length)


def _compute(call: Call, allowed: Bool[Tensor, "*_ _ _"] | None, *, is_causal: bool = False) -> Attended:
    attn_mask, empty = _merge(allowed, call.bias)
    assert isinstance(call.score, Dot | ScaledDot)
    kernel = functools.partial(
        F.scaled_dot_product_attention,
        dropout_p=call.dropout,
        is_causal=is_causal,
        scale=dot_scale(call.score, call.query),
    )

    context = kernel(call.query, call.key, call.value, attn_mask)
    # What was dropped cannot be made again.
    if context.requires_grad and not (call.dropout or torch.compiler.is_compiling()):

        def plain(*inputs: Any) -> Tensor:
            with sdpa_kernel(SDPBackend.MATH):
                return kernel(*inputs)

        give_second_derivative(context, plain)
    return Attended(context if empty is None else context.masked_fill(empty, 0.0), weights=None)


def _merge(allowed: Bool[Tensor, "*_ _ _"] | None, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
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
