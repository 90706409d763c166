"""Attention that knows what has been looked at already."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.attention.attend import attend
from attentio.attention.call import Attended
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask import padding
from attentio.layers.additive import AdditiveScore
from attentio.layers.packed import PackedWeights
from attentio.layers.sources import Score, Source


class CoverageAttention(nn.Module):
    """score(s_t, h_j) = v . tanh(W s_t + U h_j + w c_tj),   c_t = sum of the attentions of the steps before t

    Raises ValueError for a score that is not additive.

    Reference: See, Liu and Manning 2017, section 2.3, equations 10 and 11.
    """

    def __init__(self, score: Score, normalize: NormalizeFunction | None = None) -> None:
        super().__init__()
        if not isinstance(score, AdditiveScore):
            raise ValueError("coverage is for the additive score: attention bahdanau, or luong with score concat")
        self.score, self.normalize = score, normalize
        features = len(score.vector)
        self.coverage = nn.Parameter(torch.empty(features).uniform_(-1, 1) / math.sqrt(features))

    def forward(
        self,
        state: Float[Tensor, "batch q hidden"],
        source: Source,
        covered: Float[Tensor, "batch q source"],
        packed: PackedWeights | None = None,
    ) -> Attended:
        """Attend from decoder states, each with what it has covered; the weights always come along."""
        batch, q, _ = covered.shape
        queries = self.score.queries(state, source.keys.shape[1], packed)
        keys = source.keys.unsqueeze(1) + covered.unsqueeze(3) * self.coverage
        values = source.values.to(queries.dtype).repeat_interleave(q, dim=0)
        attended = attend(
            queries.reshape(batch * q, 1, -1),
            keys.flatten(0, 1).to(queries.dtype),
            values,
            score=self.score.comparison(),
            mask=padding(source.lengths.repeat_interleave(q)),
            normalize=self.normalize,
            need_weights=True,
        )
        assert attended.weights is not None
        return Attended(attended.context.view(batch, q, -1), attended.weights.view(batch, q, -1))
