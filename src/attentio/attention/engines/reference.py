"""The equation, line by line, in plain torch: any score, normalization, mask and device. What the other engines must
equal."""

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from attentio.attention.call import Attended, Call
from attentio.attention.engines.engine import Plan
from attentio.attention.normalize import normalize
from attentio.attention.shield import guarded

SUMMARY = "the equation in plain torch, any score, with weights"


def refuses(call: Call) -> str | None:
    return None


def plan(call: Call) -> Plan:
    return Plan(run)


def run(call: Call) -> Attended:
    allowed = call.allowed()
    return _compute(call, None) if allowed is None else guarded(_compute, call, allowed)


def _compute(call: Call, allowed: Bool[Tensor, "*_ _ _"] | None) -> Attended:
    scores = call.score(call.query, call.key)
    if call.bias is not None:
        scores = scores + call.bias
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    weights = normalize(scores, call.normalize)
    kept = F.dropout(weights, call.dropout) if call.dropout else weights
    exact = torch.promote_types(kept.dtype, call.value.dtype)  # a caller's score may be computed in more bits, or fewer
    context = kept.to(exact) @ call.value.to(exact)
    return Attended(context=context, weights=weights if call.need_weights else None)
