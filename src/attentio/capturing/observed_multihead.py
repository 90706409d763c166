"""A call of torch's `multi_head_attention_forward`, as attention of heads: its projections are made once more."""

import inspect
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def describe_multihead(bound: inspect.BoundArguments, result: tuple[Tensor, Tensor | None]) -> dict[str, Any]:
    """query, key and value of each head, the two masks as one, and what came out."""
    bound.apply_defaults()
    given = bound.arguments
    context, weights = result
    query, key, value = given["query"], given["key"], given["value"]
    padding = given["key_padding_mask"]
    if query.ndim == 2:  # one sequence
        query, key, value, context = (tensor.unsqueeze(1) for tensor in (query, key, value, context))
        weights = None if weights is None else weights.unsqueeze(0)
        padding = None if padding is None else padding.unsqueeze(0)
    heads, batch = given["num_heads"], query.shape[1]
    with torch.no_grad():
        projected = _project(given, query, key, value)
        q_bhqd, k_bhkd, v_bhkd = (tensor.unflatten(2, (heads, -1)).permute(1, 2, 0, 3) for tensor in projected)
        if given["static_k"] is not None:
            k_bhkd = given["static_k"].unflatten(0, (batch, heads))
        if given["static_v"] is not None:
            v_bhkd = given["static_v"].unflatten(0, (batch, heads))
        if given["add_zero_attn"]:
            k_bhkd, v_bhkd = (F.pad(tensor, (0, 0, 0, 1)) for tensor in (k_bhkd, v_bhkd))
        mask = _merge(given["attn_mask"], padding, batch, heads, k_bhkd.shape[2])
    if weights is not None and weights.ndim == 3:
        weights = weights.unsqueeze(1)
    return {
        "query": q_bhqd,
        "key": k_bhkd,
        "value": v_bhkd,
        "mask": mask,
        "is_causal": given["is_causal"] and mask is None,
        "scale": 1.0 / math.sqrt(q_bhqd.shape[3]),
        "dropout": given["dropout_p"] if given["training"] else 0.0,
        "context": context.transpose(0, 1),
        "weights": weights,
    }


def _project(given: dict[str, Any], query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[positions, batch, features] of queries, keys and values; a learned last key and value, if there is one."""
    if given["use_separate_proj_weight"]:
        matrices = (given["q_proj_weight"], given["k_proj_weight"], given["v_proj_weight"])
    else:
        matrices = given["in_proj_weight"].chunk(3)
    biases = (None, None, None) if given["in_proj_bias"] is None else given["in_proj_bias"].chunk(3)
    q, k, v = (F.linear(*three) for three in zip((query, key, value), matrices, biases, strict=True))
    if given["bias_k"] is not None:
        one_each = (1, q.shape[1], 1)
        k, v = torch.cat([k, given["bias_k"].repeat(one_each)]), torch.cat([v, given["bias_v"].repeat(one_each)])
    return q, k, v


def _merge(attn_mask: Tensor | None, padding: Tensor | None, batch: int, heads: int, k_len: int) -> Tensor | None:
    """torch's two masks, in which True = ignore, as one: True = may attend, or added to the scores."""
    parts = []
    if attn_mask is not None:
        parts.append(attn_mask.view(batch, heads, *attn_mask.shape[1:]) if attn_mask.ndim == 3 else attn_mask)
    if padding is not None:
        parts.append(padding[:, None, None, :])
    # Keys that the module itself adds at the end may always be attended to.
    parts = [F.pad(part, (0, k_len - part.shape[-1])) for part in parts]
    if all(part.dtype == torch.bool for part in parts):
        parts = [~part for part in parts]
        return parts[0] & parts[1] if len(parts) == 2 else next(iter(parts), None)
    added = [
        torch.zeros(part.shape, device=part.device).masked_fill(part, float("-inf"))
        if part.dtype == torch.bool
        else part
        for part in parts
    ]
    return added[0] + added[1] if len(added) == 2 else added[0]
