"""Right models in styles that look like mistakes: layers shared on purpose, gates at 0, no positions, experts."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from position_mistakes import Rotary, turned
from sequence_models import HEADS, PAD, VOCABULARY, WIDTH, Block, Case, Decoder, Encoder, Reader, causal_mask, rows
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations


class SharedOnPurpose(Encoder):
    """One block, run three times, as in ALBERT."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block()])

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for _ in range(3):
            hidden = self.blocks[0](hidden, attention_mask.bool()[:, None, None, :])
        return self.read_out(hidden)


class NoPositions(Decoder):
    """Causal, and told of no positions."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.Embedding(VOCABULARY, WIDTH)


class Alibi(nn.Module):
    """Scores fall with the distance; batch and heads in one axis; [positions, batch] inside, as in fairseq."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.read_out = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, prev_output_tokens: Tensor) -> Tensor:
        hidden = self.tokens(prev_output_tokens).transpose(0, 1)
        length, batch, _ = hidden.shape
        query, key, value = (
            each(hidden).contiguous().view(length, batch * HEADS, -1).transpose(0, 1)
            for each in (self.query, self.key, self.value)
        )
        distance = torch.arange(length) - torch.arange(length)[:, None]
        bias = distance * 0.5 ** torch.arange(1, HEADS + 1)[:, None, None]
        scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(query.shape[2]) + bias.repeat(batch, 1, 1)
        weights = F.softmax(scores.masked_fill(distance > 0, -math.inf), dim=-1)
        context = torch.bmm(F.dropout(weights, 0.1, self.training), value).transpose(0, 1).reshape(length, batch, WIDTH)
        return self.read_out(hidden + self.output(context)).transpose(0, 1)


class NormedAndTurned(Rotary):
    """Queries and keys of unit size, turned in neighbouring pairs."""

    def placed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(turned(F.normalize(each, dim=-1) * 3, neighbours=True) for each in (query, key))


class GatesAtZero(nn.Module):
    """Each branch begins with nothing, by an output projection or a gate of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.read_out.weight = self.reader.tokens.weight
        self.norm, self.gate = nn.LayerNorm(WIDTH), nn.Parameter(torch.zeros(()))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, dropout=0.1, batch_first=True)
        nn.init.zeros_(self.attention.out_proj.weight)
        self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 48), nn.ReLU(), nn.Linear(48, WIDTH))

    def forward(self, idx: Tensor) -> Tensor:
        hidden, mask = self.reader(idx), nn.Transformer.generate_square_subsequent_mask(idx.shape[1])
        normed = self.norm(hidden)
        hidden = hidden + self.attention(normed, normed, normed, attn_mask=mask, is_causal=True, need_weights=False)[0]
        return self.read_out(hidden + self.gate * self.feed_forward(self.norm(hidden)))


class Experts(Decoder):
    """Each token goes to one of six experts; some get none."""

    def __init__(self) -> None:
        super().__init__(layers=1)
        self.router, self.experts = nn.Linear(WIDTH, 6), nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(6))

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.blocks[0](self.reader(tokens), self.mask(tokens.shape[1]))
        share, chosen = self.router(hidden).softmax(-1).max(-1)
        mixed = torch.zeros_like(hidden)
        for i in chosen.unique().tolist():
            mixed[chosen == i] = self.experts[i](hidden[chosen == i]) * share[chosen == i].unsqueeze(1)
        return self.read_out(hidden + mixed)


class Grouped(nn.Module):
    """Heads that share keys and values; a causal mask kept for as many positions as there may be."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.query, self.both = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH // HEADS)
        self.register_buffer("mask", causal_mask(40), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, length = self.reader(tokens), tokens.shape[1]
        query = self.query(hidden).unflatten(2, (HEADS, -1)).transpose(1, 2)
        key, value = self.both(hidden).unsqueeze(1).chunk(2, dim=-1)
        context = F.scaled_dot_product_attention(
            query, key, value, attn_mask=self.mask[:length, :length], enable_gqa=True
        )
        return self.read_out(hidden + context.transpose(1, 2).flatten(2))


class Luong(nn.Module):
    """A recurrent decoder, step by step, time first, whose memory is keys and values; a bridge, and input feeding."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(VOCABULARY, WIDTH)
        self.encoder, self.bridge = nn.LSTM(WIDTH, 12, bidirectional=True), nn.Linear(24, WIDTH)
        self.cell, self.general = nn.GRUCell(2 * WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.join, self.read_out = nn.Linear(2 * WIDTH, WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        memory = self.bridge(self.encoder(self.source(src))[0]).transpose(0, 1)
        state, fed, results = memory.mean(1), memory.new_zeros(src.shape[1], WIDTH), []
        for word in self.target(tgt):
            state = self.cell(torch.cat([word, fed], dim=1), state)
            weights = torch.bmm(memory, self.general(state).unsqueeze(2)).squeeze(2).softmax(dim=1)
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            fed = torch.tanh(self.join(torch.cat([context, state], dim=1)))
            results.append(self.read_out(fed))
        return torch.stack(results)


class Conformer(nn.Module):
    """A batch norm in its convolution, on frames of speech, without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), nn.LayerNorm(WIDTH)
        self.depthwise, self.batch_norm = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = frames + self.batch_norm(self.depthwise(frames.transpose(1, 2))).transpose(1, 2)
        return self.norm(hidden + self.attention(hidden, hidden, hidden)[0])


class DropPath(Encoder):
    """Blocks that are left out for some rows in training, the others scaled up."""

    def __init__(self) -> None:
        super().__init__()
        self.drop_path = 0.3

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for block in self.blocks:
            change = block(hidden, attention_mask.bool()[:, None, None, :]) - hidden
            if self.training and self.drop_path > 0:
                keep = hidden.new_empty(len(hidden), 1, 1).bernoulli_(1 - self.drop_path)
                change = change * keep / (1 - self.drop_path)
            hidden = hidden + change
        return self.read_out(hidden)


class Latents(nn.Module):
    """A few learned queries read features of any number."""

    def __init__(self) -> None:
        super().__init__()
        self.latents, self.read_out = nn.Parameter(torch.randn(5, WIDTH)), nn.Linear(WIDTH, 3)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor, key_padding_mask: Tensor) -> Tensor:
        latents = self.latents.expand(len(x), -1, -1)
        return self.read_out(
            self.attention(latents, x, x, key_padding_mask=key_padding_mask, need_weights=False)[0].mean(1)
        )


class CausalConvolution(Decoder):
    """A convolution that is padded on the left, before causal attention; its weights are normed."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = parametrizations.weight_norm(nn.Conv1d(WIDTH, WIDTH, 3))
        self.spectral = parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        hidden = hidden + self.spectral(self.convolution(F.pad(hidden.mT, (2, 0))).mT)
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden)


@dataclass
class Output:
    loss: Tensor | None
    logits: Tensor


@cache
def kept_mask(length: int) -> Tensor:
    return causal_mask(length)


class Labelled(Decoder):
    """Shifts labels itself, keeps causal masks by their length, and returns a dataclass."""

    def mask(self, length: int) -> Tensor:
        return kept_mask(length)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> Output:
        logits = super().forward(input_ids)
        loss = None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return Output(loss, logits)


class Frozen(Encoder):
    """Embeddings that are not to learn, and a token of padding."""

    def __init__(self) -> None:
        super().__init__()
        self.reader.tokens = nn.Embedding.from_pretrained(torch.randn(VOCABULARY, WIDTH), padding_idx=PAD)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(tokens, tokens != PAD)


class Pooled(nn.Module):
    """A packed LSTM under attention with one learned query."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.lstm = (
            nn.Embedding(VOCABULARY, WIDTH),
            nn.LSTM(WIDTH, 8, batch_first=True, bidirectional=True),
        )
        self.score, self.read_out = nn.Linear(16, 1), nn.Linear(16, 4)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.tokens(tokens), lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        real = torch.arange(hidden.shape[1]) < lengths[:, None]
        weights = self.score(hidden).squeeze(2).masked_fill(~real, -math.inf).softmax(1)
        return self.read_out((weights.unsqueeze(1) @ hidden).squeeze(1))


class PrefixModel(nn.Module):
    """Sees all of a prefix from everywhere, and the rest causally."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True, norm_first=True) for _ in range(2)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        length, hidden = tokens.shape[1], self.reader(tokens)
        allowed = causal_mask(length)
        allowed[:, :6] = True
        for layer in self.layers:
            hidden = layer(hidden, src_mask=~allowed)
        return self.read_out(hidden)


def encoded() -> dict[str, Tensor]:
    tokens, real = rows(11, 7, 9)
    return {"tokens": tokens, "attention_mask": real.long()}


def labelled() -> dict[str, Tensor]:
    tokens, _ = rows(12, 12, 12)
    return {"input_ids": tokens, "labels": tokens}


def two_sides() -> tuple[Tensor, Tensor]:
    return rows(9, 9, 9)[0].T.contiguous(), rows(7, 7, 7)[0].T.contiguous()


def padded_features() -> dict[str, Tensor]:
    return {"x": torch.randn(3, 11, WIDTH), "key_padding_mask": ~rows(11, 7, 9)[1]}


HEALTHY = {
    "shared on purpose": lambda: Case(SharedOnPurpose(), encoded()),
    "no positions": lambda: Case(NoPositions(), rows(11, 11)[0]),
    "alibi": lambda: Case(Alibi(), rows(11, 11)[0]),
    "rotary": lambda: Case(Rotary(), rows(11, 11)[0]),
    "normed and turned": lambda: Case(NormedAndTurned(), rows(11, 11)[0]),
    "gates at zero": lambda: Case(GatesAtZero(), rows(11, 11)[0]),
    "experts": lambda: Case(Experts(), rows(11, 11)[0]),
    "grouped": lambda: Case(Grouped(), rows(11, 11)[0]),
    "luong": lambda: Case(Luong(), two_sides()),
    "conformer": lambda: Case(Conformer(), torch.randn(3, 13, WIDTH)),
    "drop path": lambda: Case(DropPath(), encoded()),
    "latents": lambda: Case(Latents(), padded_features()),
    "causal convolution": lambda: Case(CausalConvolution(), rows(11, 11)[0]),
    "labelled": lambda: Case(Labelled(), labelled()),
    "frozen": lambda: Case(Frozen(), rows(11, 7, 9)[0]),
    "pooled": lambda: Case(Pooled(), (rows(11, 7, 9)[0], torch.tensor([11, 7, 9]))),
    "prefix": lambda: Case(PrefixModel(), rows(11, 11)[0], {"causal": False}),
}
