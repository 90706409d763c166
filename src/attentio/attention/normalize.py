"""Scores to weights: a softmax over the keys that may be attended, or another function of the row, and the rule for
a query that has none."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.entmax import NormalizeFunction, alpha_of
from attentio.attention.entmax_loops import in_loops
from attentio.attention.shield import known_finite
from attentio.errors import GivenFunctionError


def normalize(
    scores: Float[Tensor, "*batch q k"], function: NormalizeFunction | None = None
) -> Float[Tensor, "*batch q k"]:
    """weights[i, j] = exp(scores[i, j]) / sum_j' exp(scores[i, j']), or what `function` makes of each row.

    A score of -inf forbids its key: weight exactly 0. A row of only -inf gets weights 0 and gradient 0,
    where a plain softmax gives NaN for both. float16 and bfloat16 are summed in float32,
    inside torch's kernel.
    """
    if function is not None:
        return _by(function, scores)
    weights = torch.softmax(scores, dim=-1)
    if known_finite(weights):
        return weights
    empty = empty_rows(scores)
    # A finite stand-in before the softmax keeps NaN out of its gradient, zeros after it out of its result.
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)


def _by(function: NormalizeFunction, scores: Tensor) -> Tensor:
    """Another function's weights, by the same rules."""
    if scores.shape[-1] == 0:
        return scores
    if alpha_of(function) is not None and in_loops(scores):  # which keep to these rules themselves
        return function(scores)
    forbidden = scores.detach() == float("-inf")
    exact = scores.masked_fill(empty_rows(scores), 0.0).to(torch.promote_types(scores.dtype, torch.float32))
    weights = function(exact)
    # Others would broadcast, and the weights would be of nobody's queries and keys.
    if weights.shape != scores.shape:
        raise GivenFunctionError(
            f"normalize must return a weight for each score, {list(scores.shape)}, got {list(weights.shape)}"
        )
    return weights.masked_fill(forbidden, 0.0).to(scores.dtype)


def empty_rows(
    keys: Float[Tensor, "*batch q k"] | Bool[Tensor, "*batch q k"],
) -> Bool[Tensor, "*batch q 1"]:
    """The queries with no key to attend to: rows of only -inf in scores, of only False in a mask."""
    allowed = keys if keys.dtype == torch.bool else keys.detach() != float("-inf")
    return ~allowed.any(dim=-1, keepdim=True)
