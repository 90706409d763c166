"""Scores to weights: a softmax over the keys that may be attended, and the rule for a query that has none."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def normalize(scores: Float[Tensor, "*batch q k"]) -> Float[Tensor, "*batch q k"]:
    """weights[i, j] = exp(scores[i, j]) / sum_j' exp(scores[i, j'])

    A score of -inf forbids its key: weight exactly 0. A row of nothing but -inf gets weights 0 and gradient
    0, where a plain softmax gives NaN for both. float16 and bfloat16 are normalised in float32.
    """
    empty = empty_rows(scores)
    # A finite stand-in before the softmax keeps NaN out of its gradient, zeros after it keep it out of its
    # result.
    scores = scores.masked_fill(empty, 0.0)
    wide = torch.float32 if scores.dtype in (torch.float16, torch.bfloat16) else None
    weights = torch.softmax(scores, dim=-1, dtype=wide).to(scores.dtype)
    return weights.masked_fill(empty, 0.0)


def empty_rows(
    keys: Float[Tensor, "*batch q k"] | Bool[Tensor, "*batch q k"],
) -> Bool[Tensor, "*batch q 1"]:
    """The queries with no key to attend to: rows of only -inf in scores, of only False in a mask."""
    if keys.dtype == torch.bool:
        return ~keys.any(dim=-1, keepdim=True)
    if keys.shape[-1] == 0:
        return torch.ones(*keys.shape[:-1], 1, dtype=torch.bool, device=keys.device)
    return keys.detach().amax(dim=-1, keepdim=True) == float("-inf")
