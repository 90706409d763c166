"""The model around the mistakes: one attention between an embedding and a read-out, healthy if the attention is."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

WIDTH, HEADS, VOCABULARY, LENGTHS = 24, 4, 31, (11, 7, 5)
HEAD_FEATURES = WIDTH // HEADS


class Tagger(nn.Module):
    """ids and attention_mask [batch, positions], 1 where a token is real; to logits [batch, positions, vocabulary]."""

    def __init__(self, attention: nn.Module, *, embedding_scale: float = 1.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.embed.weight.data.mul_(embedding_scale)
        self.places = nn.Embedding(max(LENGTHS), WIDTH)
        self.attention = attention
        self.feed_forward = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 48), nn.GELU(), nn.Linear(48, WIDTH))
        self.read_out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.embed(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        hidden = hidden + self.attention(hidden, attention_mask.bool())
        return self.read_out(hidden + self.feed_forward(hidden))


class Projected(nn.Module):
    """Queries, keys and values of every head [batch, heads, positions, d], and the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def heads(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = (self.query(hidden), self.key(hidden), self.value(hidden))
        query, key, value = (each.unflatten(-1, (HEADS, HEAD_FEATURES)).transpose(1, 2) for each in projected)
        return query, key, value

    def join(self, context: Tensor) -> Tensor:
        return self.output(context.transpose(1, 2).flatten(2))


def sentences() -> dict[str, Tensor]:
    """Random token ids, 0 where padded."""
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return {"input_ids": torch.randint(1, VOCABULARY, mask.shape) * mask, "attention_mask": mask.long()}


Example = tuple[nn.Module, Mapping[str, Tensor], Mapping[str, object]]


def example(attention: nn.Module, *, embedding_scale: float = 1.0, **options: object) -> Example:
    """What the doctor is given: the model, its inputs, and options of `diagnose`."""
    return Tagger(attention, embedding_scale=embedding_scale), sentences(), options
