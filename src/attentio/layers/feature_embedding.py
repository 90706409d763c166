"""Token ids and features of a source as vectors, each from a table of its own."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attentio.layers.open_embedding import OpenEmbedding


class FeatureEmbedding(OpenEmbedding):
    """The rows of another embedding, whose weight it shares, and behind them rows for features.

    Ids beyond both have the row of the unknown token.
    """

    def __init__(self, embedding: nn.Embedding, features: int, *, unknown: int) -> None:
        super().__init__(embedding, unknown=unknown)
        self.weight = embedding.weight
        self.features = nn.Embedding(features, embedding.embedding_dim)

    def are_features(self, ids: Int[Tensor, "*axes"]) -> Bool[Tensor, "*axes"]:
        """Which of the ids are features."""
        return (ids >= self.num_embeddings) & (ids < self.num_embeddings + self.features.num_embeddings)

    def forward(self, ids: Int[Tensor, "*axes"]) -> Float[Tensor, "*axes features"]:
        numbers = (ids - self.num_embeddings).clamp(0, self.features.num_embeddings - 1)
        return torch.where(self.are_features(ids).unsqueeze(-1), self.features(numbers), super().forward(ids))
