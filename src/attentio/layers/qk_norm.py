"""Queries and keys of one length."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_LENGTH = 64


class QKNorm(nn.Module):
    """scores[i, j] = g q_i . k_j / (|q_i| |k_j|), with a learnt g in place of 1 / sqrt(d)

    Henry et al. 2020, section 3.1. g begins at log2(L^2 - L), where the paper's L is the length below which 97.5% of
    the training sentences are; here it is 64. Each attention has a g of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log2(_LENGTH**2 - _LENGTH)))

    def queries(self, heads: Float[Tensor, "batch heads q d"]) -> Float[Tensor, "batch heads q d"]:
        """g q / |q|: their dot products with `keys` are the scores."""
        return self.scale * self.keys(heads)

    def keys(self, heads: Float[Tensor, "batch heads k d"]) -> Float[Tensor, "batch heads k d"]:
        """k / |k|."""
        return F.normalize(heads, dim=-1)
