"""An embedding that has a vector for whatever it is asked."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class OpenEmbedding(nn.Embedding):
    """The rows of another embedding; ids beyond them have the row of the unknown token."""

    def __init__(self, embedding: nn.Embedding, *, unknown: int) -> None:
        super().__init__(embedding.num_embeddings, embedding.embedding_dim, _weight=embedding.weight.detach())
        self.unknown = unknown

    def forward(self, ids: Int[Tensor, "*axes"]) -> Float[Tensor, "*axes features"]:
        return super().forward(ids.masked_fill(ids >= self.num_embeddings, self.unknown))
