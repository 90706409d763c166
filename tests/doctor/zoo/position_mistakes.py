"""Models in which positions, or the places of heads and positions, are wrong."""

import torch
from sequence_models import HEADS, VOCABULARY, WIDTH, Case, Decoder, Encoder, Reader, rows
from torch import Tensor, nn
from torch.nn import functional as F


def turned(x: Tensor, sign: float = 1.0, *, neighbours: bool = False) -> Tensor:
    """[batch, heads, positions, d], each pair of features turned by its position: halves, or neighbours."""
    half = x.shape[-1] // 2
    angles = sign * torch.arange(x.shape[2])[:, None] / 100.0 ** (torch.arange(half) / half)
    first, second = (x[..., ::2], x[..., 1::2]) if neighbours else (x[..., :half], x[..., half:])
    cos, sin = angles.cos(), angles.sin()
    pairs = first * cos - second * sin, second * cos + first * sin
    return torch.stack(pairs, -1).flatten(-2) if neighbours else torch.cat(pairs, -1)


class Rotary(nn.Module):
    """A causal model whose positions are rotations, right as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.read_out = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.fused, self.norm = nn.Linear(WIDTH, 3 * WIDTH), nn.RMSNorm(WIDTH)
        self.forward_1, self.forward_2 = nn.Linear(WIDTH, 48), nn.Linear(48, WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.tokens(input_ids)
        query, key, value = (
            each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in self.fused(self.norm(hidden)).chunk(3, dim=2)
        )
        context = self.attend(*self.placed(query, key), value)
        hidden = hidden + self.output(context.transpose(1, 2).flatten(2))
        return self.read_out(hidden + self.forward_2(self.forward_1(hidden).relu()))

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)

    def placed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return turned(query), turned(key)


class QueriesOnly(Rotary):
    def placed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return turned(query), key


class WrongSign(Rotary):
    def placed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return turned(query), turned(key, -1.0)


class OtherPairs(Rotary):
    def placed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return turned(query), turned(key, neighbours=True)


class BagOfTokens(Encoder):
    """Positions are there, and not added."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.reader.tokens(tokens)
        for block in self.blocks:
            hidden = block(hidden, attention_mask.bool()[:, None, None, :])
        return self.read_out(hidden)


class NormAcross(nn.Module):
    """A norm behind a transpose: over the positions of each feature."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.norm = Reader(), nn.LayerNorm(11)
        self.attention, self.read_out = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), nn.Linear(WIDTH, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.norm(self.reader(tokens).transpose(1, 2)).transpose(1, 2)
        return self.read_out(hidden + self.attention(hidden, hidden, hidden)[0])


class NormOfAll(nn.Module):
    """A norm over positions and features, on features."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.places = nn.LayerNorm([13, WIDTH]), nn.Parameter(torch.randn(13, WIDTH))
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.norm(x + self.places))


class NormByHand(nn.Module):
    """Mean and deviation over the positions, in the model's own code."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.layer = Reader(), nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        return self.layer((hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, keepdim=True))


class Cut(nn.Module):
    """Heads by a view; masked, causal or neither; the way back as told."""

    def __init__(self, *, causal: bool, back: bool, split: str = "view") -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.output, self.causal, self.back, self.split = nn.Linear(WIDTH, WIDTH), causal, back, split

    def heads(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        if self.split == "view":
            return x.view(batch, HEADS, length, -1)
        return x.unflatten(2, (HEADS, -1)) if self.split == "none" else x.unflatten(2, (HEADS, -1)).transpose(1, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = (self.heads(each(hidden)) for each in (self.query, self.key, self.value))
        context = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        context = context.transpose(1, 2) if self.back else context
        return hidden + self.output(context.reshape(hidden.shape))


class WithCut(nn.Module):
    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self.reader, self.first, self.read_out = Reader(), cut, nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.read_out(self.first(self.reader(tokens)))


class SameProjection(Encoder):
    """The keys' layer makes the values too."""

    def __init__(self) -> None:
        super().__init__()
        for block in self.blocks:
            block.value = block.key


class SameQueryProjection(Encoder):
    """The keys' layer makes the queries too."""

    def __init__(self) -> None:
        super().__init__()
        for block in self.blocks:
            block.query = block.key


class RotatedKeysAsQueries(Rotary):
    """The fused projection is cut wrongly: what looks are the keys."""

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.tokens(input_ids)
        _, key, value = self.fused(self.norm(hidden)).chunk(3, dim=2)
        key, value = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in (key, value))
        context = F.scaled_dot_product_attention(*self.placed(key, key), value, is_causal=True)
        return self.read_out(hidden + self.output(context.transpose(1, 2).flatten(2)))


class RotatedKeysAsValues(Rotary):
    """The fused projection is cut wrongly: what is brought are the keys, before they are turned."""

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.tokens(input_ids)
        query, key, _ = self.fused(self.norm(hidden)).chunk(3, dim=2)
        query, key = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in (query, key))
        context = F.scaled_dot_product_attention(*self.placed(query, key), key, is_causal=True)
        return self.read_out(hidden + self.output(context.transpose(1, 2).flatten(2)))


class LookingAheadBesideAttention(Decoder):
    """A mean over all positions, added at the end; attention is causal."""

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden + hidden.mean(1, keepdim=True))


RELATIVE_POSITIONS = {
    "queries-only": lambda: Case(QueriesOnly(), rows(11, 11)[0]),
    "wrong-sign": lambda: Case(WrongSign(), rows(11, 11)[0]),
    "other-pairs": lambda: Case(OtherPairs(), rows(11, 11)[0]),
}
ORDER_BLIND = {"not-added": lambda: Case(BagOfTokens(), _encoded())}
QUERIES_ARE_KEYS = {
    "same-projection": lambda: Case(SameQueryProjection(), _encoded()),
    "cut-wrongly": lambda: Case(RotatedKeysAsQueries(), rows(11, 11)[0]),
}
VALUES_ARE_KEYS = {
    "same-projection": lambda: Case(SameProjection(), _encoded()),
    "before-they-are-turned": lambda: Case(RotatedKeysAsValues(), rows(11, 11)[0]),
}
POSITION_STATISTICS = {
    "behind-a-transpose": lambda: Case(NormAcross(), rows(11, 11, 11)[0]),
    "by-hand": lambda: Case(NormByHand(), rows(11, 11, 11)[0]),
    "over-all": lambda: Case(NormOfAll(), torch.randn(3, 13, WIDTH)),
}
FUTURE_LEAK = {"mean-beside-attention": lambda: Case(LookingAheadBesideAttention(), rows(11, 11, 11)[0])}
HEADS_BY_VIEW = {
    "both-ways": lambda: Case(WithCut(Cut(causal=True, back=False)), rows(12, 12)[0]),
    "on-the-way-in": lambda: Case(WithCut(Cut(causal=False, back=True)), rows(12, 12)[0]),
    "on-the-way-out": lambda: Case(WithCut(Cut(causal=False, back=False, split="right")), rows(12, 12)[0]),
    "exchanged": lambda: Case(WithCut(Cut(causal=False, back=False, split="none")), rows(12, 12)[0]),
}


def _encoded() -> dict[str, Tensor]:
    tokens, real = rows(11, 7, 9)
    return {"tokens": tokens, "attention_mask": real.long()}
