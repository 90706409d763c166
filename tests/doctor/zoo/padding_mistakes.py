"""Models in which padding, or other sentences, change the result of a sentence."""

import torch
from sequence_models import (
    PAD,
    VOCABULARY,
    WIDTH,
    Block,
    Case,
    Decoder,
    Encoder,
    Reader,
    Translator,
    causal_mask,
    rows,
    translation,
)
from torch import Tensor, nn
from torch.nn import functional as F


class MaskIgnored(Encoder):
    """Takes the mask, and hands it to the first block only."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        first, second = self.blocks
        hidden = first(self.reader(tokens), attention_mask.bool()[:, None, None, :])
        return self.read_out(second(hidden, torch.ones(1, dtype=torch.bool)))


class QueriesMasked(Encoder):
    """Masks the padded queries instead of the padded keys."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        for block in self.blocks:
            hidden = block(hidden, attention_mask.bool()[:, None, :, None])
        return self.read_out(hidden)


class CrossUnmasked(Translator):
    """The decoder's attention to the source sees its padding."""

    def decode(self, memory: Tensor, target: Tensor, keys: Tensor) -> Tensor:
        return super().decode(memory, target, torch.ones_like(keys))


class MeanOverAll(Encoder):
    """A classifier that takes the mean over padding too."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Linear(VOCABULARY, 5)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        return self.classify(super().forward(tokens, attention_mask).mean(dim=1))


class RecurrentTagger(nn.Module):
    """A bidirectional LSTM over rows that were never packed."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.read_out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.lstm(self.tokens(tokens))[0]
        real = torch.arange(tokens.shape[1]) < lengths[:, None]
        return self.read_out(hidden) * real[:, :, None]


class RecurrentClassifier(nn.Module):
    """A GRU whose last state is taken behind the padding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH, padding_idx=PAD)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.read_out = nn.Linear(WIDTH, 5)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.read_out(self.gru(self.tokens(tokens))[1][0])


class PlacesByColumn(Decoder):
    """Masks padding at the start, and counts positions from there all the same."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        hidden, real = self.reader(tokens), attention_mask.bool()[:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, real & causal_mask(tokens.shape[1]))
        return self.read_out(hidden)


class BatchForgotten(nn.Module):
    """`batch_first` was forgotten: positions attend to the same position of other sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.read_out = Reader(), nn.Linear(WIDTH, VOCABULARY)
        self.attention = nn.MultiheadAttention(WIDTH, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        return self.read_out(hidden + self.attention(hidden, hidden, hidden)[0])


class SoftmaxOverBatch(Encoder):
    """A gate normalised over the wrong axis."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        logits = super().forward(tokens, attention_mask)
        return logits * logits.softmax(dim=0)


class BatchStatistics(Encoder):
    """Normalises by the batch at hand, in evaluation too."""

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        logits = super().forward(tokens, attention_mask)
        return F.batch_norm(logits.transpose(1, 2), None, None, training=True).transpose(1, 2)


class AlwaysDropping(Decoder):
    """Functional dropout that was not told the mode."""

    def forward(self, tokens: Tensor) -> Tensor:
        return F.dropout(super().forward(tokens), 0.1)


class DroppingAttention(nn.Module):
    """`dropout_p` is active whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.block, self.read_out = Reader(), Block(), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.reader(tokens)
        query, key, value = (
            self.block.split(layer(hidden)) for layer in (self.block.query, self.block.key, self.block.value)
        )
        context = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=0.1)
        return self.read_out(hidden + context.transpose(1, 2).flatten(2))


def padded(*lengths: int, left: bool = False) -> dict[str, Tensor]:
    tokens, real = rows(*lengths, left=left)
    return {"tokens": tokens, "attention_mask": real.long()}


def with_lengths() -> dict[str, Tensor]:
    return {"tokens": rows(11, 5, 8)[0], "lengths": torch.tensor([11, 5, 8])}


PADDING_LEAK = {
    "mask-ignored": lambda: Case(MaskIgnored(), padded(11, 7, 9)),
    "mask-ignored-full-rows": lambda: Case(MaskIgnored(), padded(9, 9)),
    "queries-masked": lambda: Case(QueriesMasked(), padded(11, 7, 9)),
    "cross-unmasked": lambda: Case(CrossUnmasked(), translation()),
    "mean": lambda: Case(MeanOverAll(), padded(11, 7, 9)),
}
ENCODER_READS_PADDING = {
    "bidirectional": lambda: Case(RecurrentTagger(), with_lengths()),
    "last-state": lambda: Case(RecurrentClassifier(), with_lengths()),
}
POSITIONS_IGNORE_PADDING = {
    "by-column": lambda: Case(PlacesByColumn(), padded(11, 7, 9, left=True)),
}
BATCH_DEPENDENCE = {
    "batch-first": lambda: Case(BatchForgotten(), rows(11, 11, 11)[0]),
    "softmax": lambda: Case(SoftmaxOverBatch(), padded(11, 7, 9)),
    "statistics": lambda: Case(BatchStatistics(), padded(11, 11, 11)),
}
DROPOUT_IN_EVAL = {
    "functional": lambda: Case(AlwaysDropping(), rows(11, 11)[0]),
    "attention": lambda: Case(DroppingAttention(), rows(11, 11)[0]),
}
