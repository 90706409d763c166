"""What the mistakes about behaviour stand in: a causal decoder, an encoder, and an encoder with a decoder, by hand."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

WIDTH, HEADS, VOCABULARY, PAD, ROOM = 24, 3, 31, 0, 40


class Case(NamedTuple):
    """What the doctor is given."""

    model: nn.Module
    inputs: object
    options: Mapping[str, object] = MappingProxyType({})


class Block(nn.Module):
    """Attention through a mask (True = may attend), then a feed-forward layer; norms before both."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.first_norm, self.second_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 48), nn.GELU(), nn.Linear(48, WIDTH))

    def forward(self, hidden: Tensor, mask: Tensor, memory: Tensor | None = None) -> Tensor:
        normed = self.first_norm(hidden)
        hidden = hidden + self.attend(normed, normed if memory is None else memory, mask)
        return hidden + self.feed_forward(self.second_norm(hidden))

    def attend(self, hidden: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.split(self.query(hidden)), self.split(self.key(memory)), self.split(self.value(memory))
        scores = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
        return self.output((weights @ value).transpose(1, 2).flatten(2))

    def split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (HEADS, -1)).transpose(1, 2)


class Reader(nn.Module):
    """Token ids [batch, positions] as vectors that know their position."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(ROOM, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids) + self.places(torch.arange(ids.shape[1]))


def causal_mask(queries: int, keys: int | None = None) -> Tensor:
    """[queries, keys], the last query sees the last key."""
    keys = queries if keys is None else keys
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


def rows(*lengths: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Random ids and what is real of them."""
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    real = real.flip(1) if left else real
    return torch.randint(1, VOCABULARY, real.shape).masked_fill(~real, PAD), real


class Decoder(nn.Module):
    """A causal language model without mistakes."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))

    def mask(self, length: int) -> Tensor:
        return causal_mask(length)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden)


class Encoder(nn.Module):
    """A bidirectional encoder without mistakes. attention_mask: 1 = real."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for block in self.blocks:
            hidden = block(hidden, attention_mask.bool()[:, None, None, :])
        return self.read_out(hidden)


class Translator(nn.Module):
    """An encoder and a decoder without mistakes. source_mask: True = real."""

    def __init__(self) -> None:
        super().__init__()
        self.source_reader, self.target_reader, self.read_out = Reader(), Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.encoder, self.decoder, self.cross = Block(), Block(), Block()

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor) -> Tensor:
        keys = source_mask[:, None, None, :]
        memory = self.encoder(self.source_reader(source), keys)
        return self.decode(memory, target, keys)

    def decode(self, memory: Tensor, target: Tensor, keys: Tensor) -> Tensor:
        hidden = self.decoder(self.target_reader(target), causal_mask(target.shape[1]))
        return self.read_out(self.cross(hidden, keys, memory))


def translation() -> dict[str, Tensor]:
    source, real = rows(9, 6, 8)
    return {"source": source, "target": rows(7, 7, 7)[0], "source_mask": real}
