"""Models in which something is computed or stored and does nothing, or never learns."""

import copy

import torch
from sequence_models import (
    HEADS,
    VOCABULARY,
    WIDTH,
    Block,
    Case,
    Decoder,
    Encoder,
    Reader,
    Translator,
    rows,
    translation,
)
from torch import Tensor, nn
from torch.nn import functional as F


class NeverLooksAtTheSource(Translator):
    """Attention to the source is handed the decoder's own states."""

    def decode(self, memory: Tensor, target: Tensor, keys: Tensor) -> Tensor:
        hidden = self.decoder(self.target_reader(target), torch.ones(7, 7, dtype=torch.bool).tril())
        return self.read_out(self.cross(hidden, torch.ones(7, 7, dtype=torch.bool).tril(), hidden))


class ForgetsItsContext(nn.Module):
    """A recurrent decoder, time first, that attends to its source and goes on with its own state alone."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(VOCABULARY, WIDTH)
        self.encoder, self.decoder = nn.GRU(WIDTH, WIDTH), nn.GRU(WIDTH, WIDTH)
        self.join, self.read_out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        memory, last = self.encoder(self.source(src))
        states, _ = self.decoder(self.target(tgt), last)
        weights = torch.einsum("tbd,sbd->bts", states, memory).softmax(-1)
        context = torch.einsum("bts,sbd->tbd", weights, memory)
        return self.read_out(torch.tanh(self.join(states))) + 0 * context.sum()


class SegmentsUnread(Encoder):
    """Segment ids are taken and not handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.segments = nn.Embedding(2, WIDTH)

    def forward(self, tokens: Tensor, token_type_ids: Tensor) -> Tensor:
        return super().forward(tokens, torch.ones_like(tokens))


class ResultNotAdded(nn.Module):
    """torch's attention in a block of its own, whose result is computed and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.attention = Reader(), nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mix, self.read_out = nn.GRU(WIDTH, WIDTH, batch_first=True), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        hidden = self.reader(input_ids)
        normed = self.first(hidden)
        _ = self.attention(normed, normed, normed, need_weights=False)[0]
        hidden = hidden + self.second(normed)
        return {"logits": self.read_out(self.mix(hidden)[0])}


class FirstLayerForAll(Decoder):
    """The loop runs over the layers and calls the first."""

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for _ in self.blocks:
            hidden = self.blocks[0](hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden)


class DetachedWeights(Encoder):
    """The weights of attention are cut off the graph: queries and keys never learn."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DetachedBlock() for _ in range(2))


class DetachedBlock(Block):
    def attend(self, hidden: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.split(self.query(hidden)), self.split(self.key(memory)), self.split(self.value(memory))
        scores = (query @ key.mT / (WIDTH // HEADS) ** 0.5).masked_fill(~mask, -1e9)
        weights = scores.softmax(-1).detach()
        return self.output((weights @ value).transpose(1, 2).flatten(2))


class FusedAndDetached(Decoder):
    """Queries, keys and values by one layer; queries by `.data`."""

    def __init__(self) -> None:
        super().__init__()
        self.fused = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        query, key, value = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in self.fused(hidden).chunk(3, 2))
        context = F.scaled_dot_product_attention(query.data, key, value, is_causal=True)
        return self.read_out(hidden + context.transpose(1, 2).flatten(2))


class FrozenEncoder(Translator):
    """The encoder runs without gradients, and its parameters are given to the optimizer."""

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor) -> Tensor:
        keys = source_mask[:, None, None, :]
        with torch.no_grad():
            memory = self.encoder(self.source_reader(source), keys)
        return self.decode(memory, target, keys)


class LayersInAList(nn.Module):
    """The layers are in a list of Python, so they are no part of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.layers = [nn.TransformerEncoderLayer(WIDTH, HEADS, 48, dropout=0.0, batch_first=True) for _ in range(2)]

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.read_out(hidden)


class OneLayerManyTimes(Decoder):
    """`[layer] * n`."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block()] * 4)


class SequentialOfOne(nn.Module):
    """The same in `nn.Sequential`, on features."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True)
        self.layers = nn.Sequential(*[layer] * 3, copy.deepcopy(layer))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def two_sides() -> tuple[Tensor, Tensor]:
    """Source and target, time first."""
    return rows(9, 9, 9)[0].T.contiguous(), rows(7, 7, 7)[0].T.contiguous()


def segments() -> dict[str, Tensor]:
    tokens, _ = rows(11, 11, 11)
    return {"tokens": tokens, "token_type_ids": (torch.arange(11) > 5).long().expand(3, -1)}


def encoded() -> dict[str, Tensor]:
    tokens, real = rows(11, 7, 9)
    return {"tokens": tokens, "attention_mask": real.long()}


UNUSED_INPUTS = {
    "own-states-as-memory": lambda: Case(NeverLooksAtTheSource(), translation()),
    "segments": lambda: Case(SegmentsUnread(), segments()),
}
UNUSED_PARAMETERS = {
    "context-times-zero": lambda: Case(ForgetsItsContext(), two_sides()),
    "result-not-added": lambda: Case(ResultNotAdded(), {"input_ids": rows(11, 11, 11)[0]}),
    "first-layer-for-all": lambda: Case(FirstLayerForAll(), rows(11, 11)[0]),
}
LOST_GRADIENT = {
    "detached-weights": lambda: Case(DetachedWeights(), encoded()),
    "data-of-queries": lambda: Case(FusedAndDetached(), rows(11, 11)[0]),
    "no-grad": lambda: Case(FrozenEncoder(), translation()),
    "layers-in-a-list": lambda: Case(LayersInAList(), rows(11, 11)[0]),
}
SHARED_LAYERS = {
    "repeated": lambda: Case(OneLayerManyTimes(), rows(11, 11)[0]),
    "sequential": lambda: Case(SequentialOfOne(), torch.randn(3, 11, WIDTH)),
}
