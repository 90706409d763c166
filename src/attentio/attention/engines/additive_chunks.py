"""The additive comparison in plain torch, on any device: a few queries at a time, so that the sums q + k, [q, k, d],
never exist all at once. The gradients make them again."""

import torch
from jaxtyping import Float
from torch import Tensor

_CHUNK = 1 << 22
"""Numbers of q + k that are held at a time."""


def scores_in_chunks(
    query: Float[Tensor, "batch heads q d"], key: Float[Tensor, "batch heads k d"], vector: Float[Tensor, "d"]
) -> Float[Tensor, "batch heads q k"]:
    """vector . tanh(q_i + k_j)"""
    chunks = query.split(_queries_at_once(key), dim=-2)
    return torch.cat([(q[..., :, None, :] + key[..., None, :, :]).tanh_() @ vector for q in chunks], dim=-2)


def gradients_in_chunks(
    query: Float[Tensor, "batch heads q d"],
    key: Float[Tensor, "batch heads k d"],
    vector: Float[Tensor, "d"],
    of_scores: Float[Tensor, "batch heads q k"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Of query, key and vector; `of_scores` is that of the scores."""
    size = _queries_at_once(key)
    of_query, of_key, of_vector = [], torch.zeros_like(key), torch.zeros_like(vector)
    for q, upstream in zip(query.split(size, dim=-2), of_scores.split(size, dim=-2), strict=True):
        tanh = (q[..., :, None, :] + key[..., None, :, :]).tanh_()
        of_vector += upstream.flatten() @ tanh.flatten(0, -2)
        slope = tanh.square_().neg_().add_(1.0).mul_(upstream[..., None])
        of_query.append(slope.sum(-2) * vector)
        of_key += slope.sum(-3) * vector
    return torch.cat(of_query, dim=-2), of_key, of_vector


def _queries_at_once(key: Tensor) -> int:
    return max(1, _CHUNK // key.numel())
