"""Models that see what they are to predict."""

import torch
from sequence_models import (
    PAD,
    VOCABULARY,
    WIDTH,
    Case,
    Decoder,
    Reader,
    Translator,
    causal_mask,
    rows,
    translation,
)
from torch import Tensor, nn
from torch.nn import functional as F


class DiagonalOffByOne(Decoder):
    """Every position also sees the next one."""

    def mask(self, length: int) -> Tensor:
        return torch.ones(length, length, dtype=torch.bool).tril(diagonal=1)


class CountsFromTheEnd(Decoder):
    """The last token is at position 0."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(40, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader.tokens(tokens) + self.places(torch.arange(tokens.shape[1]).flip(0))
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden)


class DividedByTheLength(Decoder):
    """Results shrink with the number of all tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) * tokens.shape[1] ** -0.5


class AnswersDividedByTheLength(Translator):
    """The same, in the decoder of a translator."""

    def decode(self, memory: Tensor, target: Tensor, keys: Tensor) -> Tensor:
        return super().decode(memory, target, keys) * target.shape[1] ** -0.5


class WindowOrCausal(Decoder):
    """The window was to narrow the causal mask; with `|` it widens it."""

    def mask(self, length: int) -> Tensor:
        apart = torch.arange(length)[:, None] - torch.arange(length)
        return causal_mask(length) | (apart.abs() <= 2)


class PaddedOnBothSides(Decoder):
    """A causal decoder behind a convolution that looks one position ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(WIDTH, WIDTH, kernel_size=3, padding=1)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.convolution(self.reader(tokens).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden)


class MeanOverPositions(Decoder):
    """A mean over all positions is added to each: nothing is masked in it."""

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        hidden = hidden + hidden.mean(dim=1, keepdim=True)
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        return self.read_out(hidden)


class UnmaskedDecoder(Translator):
    """The decoder's self-attention has no mask."""

    def decode(self, memory: Tensor, target: Tensor, keys: Tensor) -> Tensor:
        everything = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool)
        return self.read_out(self.cross(self.decoder(self.target_reader(target), everything), keys, memory))


class TorchTransformer(nn.Module):
    """`nn.Transformer`, which masks nothing unless it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.transformer = nn.Transformer(WIDTH, 2, 1, 1, 48, batch_first=True)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        return self.read_out(self.transformer(self.reader(src), self.reader(tgt)))


class LabelsAsInput(Decoder):
    """The labels, which are the next tokens, are read by the model without being shifted back."""

    def forward(self, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        hidden = self.reader(tokens) + 0.1 * self.reader(labels.clamp(min=0))
        for block in self.blocks:
            hidden = block(hidden, self.mask(tokens.shape[1]))
        logits = self.read_out(hidden)
        return {"loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten()), "logits": logits}


def unshifted_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """Asks at each position for the token that was just read there."""
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten(), ignore_index=PAD)


def with_labels() -> dict[str, Tensor]:
    tokens, _ = rows(12, 12, 12)
    return {"tokens": tokens[:, :-1], "labels": tokens[:, 1:]}


FUTURE_LEAK = {
    "diagonal": lambda: Case(DiagonalOffByOne(), rows(13, 13, 13)[0]),
    "window-or-causal": lambda: Case(WindowOrCausal(), rows(13, 13)[0]),
    "convolution": lambda: Case(PaddedOnBothSides(), rows(13, 13, 13)[0]),
    "mean": lambda: Case(MeanOverPositions(), rows(13, 13, 13)[0], {"causal": True}),
}
TEACHER_FORCING_LEAK = {
    "unmasked-decoder": lambda: Case(UnmaskedDecoder(), translation()),
    "torch-transformer": lambda: Case(TorchTransformer(), (rows(9, 9, 9)[0], rows(7, 7, 7)[0])),
    "labels": lambda: Case(LabelsAsInput(), with_labels()),
    "unshifted": lambda: Case(Decoder(), rows(11, 11, 11)[0], {"loss": unshifted_loss}),
}
LENGTH_DEPENDENCE = {
    "from-the-end": lambda: Case(CountsFromTheEnd(), rows(12, 12)[0]),
    "by-the-length": lambda: Case(DividedByTheLength(), rows(12, 12)[0], {"causal": True}),
    "translator": lambda: Case(AnswersDividedByTheLength(), translation()),
}
