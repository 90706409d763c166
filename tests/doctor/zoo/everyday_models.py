"""Models as people write them every day, some with a typical mistake: a small GPT, a classifier, attention to another
sequence."""

import torch
from sequence_models import PAD, VOCABULARY, rows
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, ROOM = 12, 2, 40


class SmallGPT(nn.Module):
    """(logits, loss), or logits alone. ahead: how many later tokens the mask lets through; None: is_causal."""

    def __init__(self, ahead: int | None = None) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(ROOM, WIDTH)
        self.first, self.second = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.norm, self.read_out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.ahead = ahead

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        batch, length = idx.shape
        hidden = self.tokens(idx) + self.places(torch.arange(length))
        mask = None if self.ahead is None else torch.ones(length, length, dtype=torch.bool).tril(self.ahead)
        for projection in (self.first, self.second):
            query, key, value = (
                projection(self.norm(hidden)).view(batch, length, 3 * HEADS, -1).transpose(1, 2).chunk(3, 1)
            )
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
            hidden = hidden + context.transpose(1, 2).reshape(batch, length, WIDTH)
        logits = self.read_out(hidden)
        if targets is None:
            return logits
        return logits, F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def next_tokens() -> tuple[Tensor, Tensor]:
    """What nanoGPT's get_batch gives: tokens, and those one later."""
    tokens = torch.randint(VOCABULARY, (3, 12))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


class Classifier(nn.Module):
    """Of a sentence. pool: "mean" (0 / 0 for no token), "clamped mean", "last" real one; mistakes: "all", "end"."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH, padding_idx=PAD), nn.Embedding(ROOM, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 17, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.read_out, self.pool = nn.Linear(WIDTH, 4), pool

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.tokens(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        hidden = self.encoder(hidden, src_key_padding_mask=attention_mask == 0)
        return self.read_out(self.pooled(hidden, attention_mask.unsqueeze(2)))

    def pooled(self, hidden: Tensor, real: Tensor) -> Tensor:
        if self.pool in ("mean", "clamped mean"):
            return (hidden * real).sum(1) / real.sum(1).clamp(min=int(self.pool == "clamped mean"))
        if self.pool == "last":
            return hidden[torch.arange(len(hidden)), real.squeeze(2).sum(1) - 1]
        return hidden.mean(1) if self.pool == "all" else hidden[:, -1]


def sentences() -> dict[str, Tensor]:
    tokens, real = rows(11, 7, 10)
    return {"input_ids": tokens, "attention_mask": real.long()}


class Across(nn.Module):
    """Attention from one sequence to another, whose padding a mask tells."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        seen, _ = self.attention(x, context, context, key_padding_mask=~context_mask, need_weights=False)
        return self.norm(x + seen)


class Vision(nn.Module):
    """An image in patches through a convolution, a class token, and an encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.class_token, self.places = nn.Parameter(torch.randn(1, 1, WIDTH)), nn.Parameter(torch.randn(1, 10, WIDTH))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS, 17, batch_first=True), 2)
        self.read_out = nn.Linear(WIDTH, 5)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        hidden = torch.cat([self.class_token.expand(len(patches), -1, -1), patches], 1) + self.places
        return self.read_out(self.encoder(hidden)[:, 0])


class Regression(nn.Module):
    """One number for each time step of float features."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 17, batch_first=True)
        self.projection, self.read_out = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 1)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, key_padding_mask: Tensor) -> Tensor:
        return self.read_out(self.encoder(self.projection(x), src_key_padding_mask=key_padding_mask)).squeeze(-1)


class Tagger(nn.Module):
    """A packed LSTM that also returns its last states."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH, padding_idx=PAD)
        self.lstm, self.read_out = nn.LSTM(WIDTH, 8, bidirectional=True, batch_first=True), nn.Linear(16, 5)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        packed = nn.utils.rnn.pack_padded_sequence(self.tokens(tokens), lengths, batch_first=True, enforce_sorted=False)
        hidden, states = self.lstm(packed)
        return self.read_out(nn.utils.rnn.pad_packed_sequence(hidden, batch_first=True)[0]), states


class Translator(nn.Module):
    """nn.Transformer as it comes, [positions, batch]; padding is the token. forgotten: masks that are not given."""

    def __init__(self, *forgotten: str) -> None:
        super().__init__()
        self.forgotten = forgotten
        self.tokens = nn.Embedding(VOCABULARY, WIDTH, padding_idx=PAD)
        self.places = nn.Embedding(ROOM, WIDTH)
        self.transformer, self.read_out = nn.Transformer(WIDTH, HEADS, 2, 2, 17), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        padding = src.T == PAD
        seen, read = (self.tokens(ids) + self.places(torch.arange(len(ids)))[:, None] for ids in (src, tgt))
        mask = nn.Transformer.generate_square_subsequent_mask(len(tgt))
        masks = {"tgt_mask": mask, "src_key_padding_mask": padding, "memory_key_padding_mask": padding}
        given = {name: one for name, one in masks.items() if name not in self.forgotten}
        return self.read_out(self.transformer(seen, read, **given))


class LastState(nn.Module):
    """A sentence by the last state of an LSTM, which takes the batch for time unless `batch_first`."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.tokens, self.read_out = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(8, 4)
        self.lstm = nn.LSTM(WIDTH, 8, batch_first=batch_first)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.read_out(self.lstm(self.tokens(tokens))[0][:, -1])
