"""Models that behave otherwise in training, that write into their inputs, or that remember their calls."""

import numpy
import torch
from sequence_models import HEADS, PAD, VOCABULARY, WIDTH, Case, Decoder, Encoder, Reader, causal_mask, rows
from torch import Tensor, nn
from torch.nn import functional as F


class CausalInTrainingOnly(nn.Module):
    """torch's function, causal while the model learns."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.fused, self.read_out = Reader(), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        query, key, value = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in self.fused(hidden).chunk(3, 2))
        dropped = 0.2 if self.training else 0.0
        context = F.scaled_dot_product_attention(query, key, value, None, dropped, self.training)
        return self.read_out(hidden + F.dropout(context.transpose(1, 2).flatten(2), 0.1, self.training))


class DropsScores(nn.Module):
    """Dropout between mask and softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.fused, self.read_out = Reader(), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.dropped = nn.Dropout(0.3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        query, key, value = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in self.fused(hidden).chunk(3, 2))
        scores = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        scores = scores.masked_fill(~causal_mask(tokens.shape[1]), -torch.inf)
        context = self.dropped(scores).softmax(dim=-1) @ value
        return self.read_out(hidden + context.transpose(1, 2).flatten(2))


class PaddingMaskedInEvaluationOnly(nn.Module):
    """torch's encoder, which is told of padding only when it is not training."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True)
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        padding = None if self.training else attention_mask == 0
        return self.read_out(self.encoder(self.reader(input_ids), src_key_padding_mask=padding))


class NormOverTheBatch(Decoder):
    """Batch norms between causal layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for block in self.blocks:
            hidden = self.norm(block(hidden, self.mask(tokens.shape[1])).transpose(1, 2)).transpose(1, 2)
        return self.read_out(hidden)


class NormOverPadding(Encoder):
    """The same, between layers that know of padding."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.norm(self.reader(tokens).flatten(0, 1)).unflatten(0, tokens.shape)
        for block in self.blocks:
            hidden = block(hidden, attention_mask.bool()[:, None, None, :])
        return self.read_out(hidden)


class ScalesItsInput(nn.Module):
    """Features are scaled where they lie; time first."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.places = nn.MultiheadAttention(WIDTH, HEADS), nn.Parameter(torch.randn(40, 1, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x *= WIDTH**0.5
        hidden = x + self.places[: len(x)]
        return hidden + self.attention(hidden, hidden, hidden)[0]


class FillsItsMask(Encoder):
    """The first position is let through in the caller's mask."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[:, None, :]
        mask.masked_fill_(mask == 0, -1)
        return super().forward(tokens, attention_mask > 0)


class FirstMask(Encoder):
    """The mask of the first call, for ever."""

    kept: Tensor | None = None

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = attention_mask
        return super().forward(tokens, self.kept)


class MaskByShape(nn.Module):
    """Masks of padding in a table, found again by the shape of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True)
        self.tokens = nn.Embedding(VOCABULARY, 1, padding_idx=PAD)
        self.masks: dict[torch.Size, Tensor] = {}

    def forward(self, tokens: Tensor) -> Tensor:
        mask = self.masks.setdefault(tokens.shape, tokens == PAD)
        return self.read_out(self.layer(self.reader(tokens) + self.tokens(tokens), src_key_padding_mask=mask))


class CausalMaskOfOneLength(Decoder):
    """A causal mask that is made once; shorter texts do not fit it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None

    def mask(self, length: int) -> Tensor:
        if self.kept is None:
            self.kept = causal_mask(length)
        return self.kept


class RunningMean(Decoder):
    """Keeps a running mean of what it has seen, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        self.seen = 0.9 * self.seen + 0.1 * self.reader(tokens).mean(dim=(0, 1)).detach()
        return super().forward(tokens) + self.read_out(self.seen)


class LastState(nn.Module):
    """A recurrence that begins where the last call ended."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.state: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, state = self.rnn(self.reader(tokens), self.state)
        self.state = state.detach()
        return self.read_out(outputs)


class OwnGenerator(Decoder):
    """Noise from a generator of its own, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.numpy = numpy.random.default_rng(1)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) + float(self.numpy.normal())


def encoded(name: str = "tokens") -> dict[str, Tensor]:
    tokens, real = rows(11, 7, 9)
    return {name: tokens, "attention_mask": real.long()}


TRAIN_EVAL_DIFFER = {
    "causal-in-training": lambda: Case(CausalInTrainingOnly(), rows(11, 11)[0]),
    "padding-in-evaluation": lambda: Case(PaddingMaskedInEvaluationOnly(), encoded("input_ids")),
}
NAN_IN_TRAINING = {
    "dropped-scores": lambda: Case(DropsScores(), rows(11, 11)[0]),
}
BATCH_STATISTICS = {
    "causal": lambda: Case(NormOverTheBatch(), rows(11, 11, 11)[0]),
    "padded": lambda: Case(NormOverPadding(), encoded()),
}
OVERWRITES_INPUTS = {
    "features": lambda: Case(ScalesItsInput(), torch.randn(11, 3, WIDTH)),
    "mask": lambda: Case(FillsItsMask(), encoded()),
}
REMEMBERS_CALLS = {
    "first-mask": lambda: Case(FirstMask(), encoded()),
    "by-shape": lambda: Case(MaskByShape(), rows(11, 7, 9)[0]),
    "one-length": lambda: Case(CausalMaskOfOneLength(), rows(11, 11)[0]),
    "running-mean": lambda: Case(RunningMean(), rows(11, 11)[0]),
    "last-state": lambda: Case(LastState(), rows(11, 11)[0]),
    "one-row": lambda: Case(LastState(), rows(11)[0]),
    "own-generator": lambda: Case(OwnGenerator(), rows(11, 11)[0]),
}
