"""Token ids as vectors that know their position."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.errors import AttentioError
from attentio.layers.dropout import Dropout
from attentio.layers.feature_embedding import FeatureEmbedding
from attentio.layers.positions import LearnedPositions, SinusoidalPositions


class TokenEmbedding(nn.Module):
    """dropout(norm(scale * E[token] + position)); without a norm or without positions where those are None.

    Features of a source (`FeatureEmbedding`) have no position.

    scale: sqrt(width) in the encoder-decoder (Vaswani et al. 2017, section 3.4), 1 in BERT and GPT-2.
    norm: as BERT has one.
    """

    def __init__(
        self,
        tokens: nn.Embedding,
        positions: SinusoidalPositions | LearnedPositions | None,
        *,
        scale: float = 1.0,
        norm: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokens, self.positions, self.norm = tokens, positions, norm
        self.scale = scale
        self.dropout = Dropout(dropout)

    def forward(
        self, tokens: Int[Tensor, "batch length"], positions: Int[Tensor, "*batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """Embed the tokens, which stand at these positions, counted from 0."""
        embedded = self.tokens(tokens)
        if self.scale != 1.0:
            embedded = embedded * self.scale
        if self.positions is not None:
            places = self.positions(positions)
            if isinstance(self.tokens, FeatureEmbedding):
                places = places.masked_fill(self.tokens.are_features(tokens).unsqueeze(-1), 0.0)
            embedded = embedded + places
        if self.norm is not None:
            embedded = self.norm(embedded)
        return self.dropout(embedded)


def check_lengths(embeddings: Iterable[TokenEmbedding], tokens: Callable[[], int], where: str) -> None:
    """AttentioError, which begins with `where`, for a text of more tokens than any of the embeddings has learnt
    positions for. tokens: counts those of the text, where positions are learnt at all."""
    learnt = [each.positions for each in embeddings if isinstance(each.positions, LearnedPositions)]
    length = tokens() if learnt else 0
    for positions in learnt:
        try:
            positions.check(length)
        except AttentioError as error:
            raise AttentioError(f"{where}: {error}") from None


def positions_of(tokens: Int[Tensor, "batch length"]) -> Int[Tensor, "length"]:
    """0, 1, 2, ..: where tokens stand that are read from the beginning."""
    return torch.arange(tokens.shape[1], device=tokens.device)
