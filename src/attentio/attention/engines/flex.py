"""torch's FlexAttention: on a GPU one compiled kernel passes over the blocks that a mask empties."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot, ScaledDot, dot_scale
from attentio.attention.engines.engine import Plan
from attentio.attention.mask_base import Mask, Pairs
from attentio.attention.shield import guarded

SUMMARY = "torch's FlexAttention, which skips what the mask empties"


def refuses(call: Call) -> str | None:
    if call.query.device.type == "cpu":
        return "on a CPU it has no backward pass"
    if type(call.score) not in (Dot, ScaledDot):
        return f"it compares by dot products only, and score is {type(call.score).__name__}"
    if call.need_weights or call.dropout:
        return "it never holds the weights: it can neither return them nor drop any"
    if call.bias is not None and call.bias.requires_grad:
        return "it has no gradient of a bias"
    if call.query.dtype == torch.float64:
        return "its kernel has no float64"
    if min(call.query.shape[-1], call.value.shape[-1]) < 16 or 0 in (call.query.shape[2], call.key.shape[2]):
        return "its kernel needs a query, a key, and 16 features"
    if torch.compiler.is_compiling():
        return "it compiles a kernel of its own"
    return None


def plan(call: Call) -> Plan:
    if call.mask is None:
        return Plan(run, slower_because="nothing is masked, so there is nothing to skip")
    if call.query.shape[2] < 1024:
        return Plan(run, slower_because="preparing its blocks pays from about 1,024 queries on")
    return Plan(run)


def run(call: Call) -> Attended:
    allowed = call.allowed()
    return _compute(call, None) if allowed is None else guarded(_compute, call, allowed)


def _compute(call: Call, allowed: Bool[Tensor, "*_ _ _"] | None) -> Attended:
    query, key = call.query, call.key
    assert isinstance(call.score, Dot | ScaledDot)
    kernel = flex_attention if query.device.type == "cpu" else _compiled()
    context = kernel(
        query,
        key,
        call.value,
        score_mod=None if call.bias is None else _adding(call.bias),
        block_mask=None if call.mask is None else _block_mask(call.mask, query.shape[2], key.shape[2], query.device),
        scale=dot_scale(call.score, query),
    )
    return Attended(context, None)


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention)


def _block_mask(mask: Mask, q_len: int, k_len: int, device: torch.device) -> BlockMask:
    """The mask's own rule, as FlexAttention asks for it."""
    batch, heads = (n if n > 1 else None for n in mask.sequences_and_heads())

    # FlexAttention counts a function's arguments, which a function wrapped by a run-time checker of types hides.
    allows = lambda b, h, i, j: mask.allows(Pairs(b, h, i, j, k_len - q_len))  # noqa: E731
    return create_block_mask(allows, batch, heads, q_len, k_len, device=str(device))


def _adding(bias: Float[Tensor, "_ _ _ _"]) -> Callable[..., Tensor]:
    def at(*place: Tensor) -> Tensor:
        return bias[tuple(axis if n > 1 else 0 * axis for axis, n in zip(place, bias.shape, strict=True))]

    return lambda score, b, h, i, j: score + at(b, h, i, j)
