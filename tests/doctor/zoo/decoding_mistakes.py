"""Caches, windows and losses that are not what they seem."""

from typing import NamedTuple

import torch
from sequence_models import PAD, Case, Decoder, causal_mask, rows
from torch import Tensor, nn
from torch.nn import functional as F


class Output(NamedTuple):
    logits: Tensor
    past_key_values: tuple[Tensor, ...] | None = None


class Cached(Decoder):
    """Decodes with a cache of each block's inputs; healthy with `places` that count the past."""

    def places(self, tokens: Tensor, past: int) -> Tensor:
        return torch.arange(past, past + tokens.shape[1])

    def forward(
        self, tokens: Tensor, past_key_values: tuple[Tensor, ...] | None = None, use_cache: bool = False
    ) -> Output:
        past = 0 if past_key_values is None else past_key_values[0].shape[1]
        hidden = self.reader.tokens(tokens) + self.reader.places(self.places(tokens, past))
        kept = []
        for i, block in enumerate(self.blocks):
            normed = block.first_norm(hidden)
            memory = self.remembered(normed, None if past_key_values is None else past_key_values[i])
            kept.append(memory)
            hidden = hidden + block.attend(normed, memory, causal_mask(hidden.shape[1], memory.shape[1]))
            hidden = hidden + block.feed_forward(block.second_norm(hidden))
        return Output(self.read_out(hidden), tuple(kept) if use_cache else None)

    def remembered(self, normed: Tensor, past: Tensor | None) -> Tensor:
        return normed if past is None else torch.cat([past, normed], dim=1)


class PlacesBeginAgain(Cached):
    """Every step stands at position 0."""

    def places(self, tokens: Tensor, past: int) -> Tensor:
        return torch.arange(tokens.shape[1])


class CacheTurned(Cached):
    """New keys go to the wrong end, where the causal mask hides nothing but gives them to the wrong places; the oldest
    falls out."""

    def remembered(self, normed: Tensor, past: Tensor | None) -> Tensor:
        return normed if past is None else torch.cat([past[:, :1], past[:, 2:], normed, normed], dim=1)


class StepDecoder(Decoder):
    """start and step, as attentio's decoders have them; each step sees only the last few tokens."""

    def __init__(self, keep: int) -> None:
        super().__init__()
        self.keep = keep

    def start(self, prompt: Tensor) -> Tensor:
        return prompt

    def step(self, token: Tensor, state: Tensor) -> "Stepped":
        read = torch.cat([state, token], dim=1)[:, -self.keep :]
        return Stepped(self(read)[:, -1:], read)


class Stepped(NamedTuple):
    logits: Tensor
    state: Tensor


def forgetful_step(model: nn.Module, tokens: Tensor, position: int, state: None) -> tuple[Tensor, None]:
    """Reads the current token alone."""
    return model(tokens[:, position : position + 1])[:, -1], None


def careful_step(model: nn.Module, tokens: Tensor, position: int, state: Tensor | None) -> tuple[Tensor, Tensor]:
    token = tokens[:, position : position + 1]
    read = token if state is None else torch.cat([state, token], dim=1)
    return model(read)[:, -1], read


class Windowed(Decoder):
    """Each block sees itself and `before` earlier tokens."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.before = before

    def mask(self, length: int) -> Tensor:
        apart = torch.arange(length)[:, None] - torch.arange(length)
        return (apart >= 0) & (apart <= self.before)


class Labelled(Decoder):
    """A language model that computes its own loss; `ignored` is what labels at padding are."""

    def __init__(self, ignored: int, *, over_all: bool = False) -> None:
        super().__init__()
        self.ignored, self.over_all = ignored, over_all

    def forward(self, tokens: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        hidden, real = self.reader(tokens), attention_mask.bool()[:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, real & causal_mask(tokens.shape[1]))
        logits = self.read_out(hidden)
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            ignore_index=self.ignored,
            reduction="sum" if self.over_all else "mean",
        )
        return {"loss": loss / labels.numel() if self.over_all else loss, "logits": logits}


def labelled(ignored: int) -> dict[str, Tensor]:
    tokens, real = rows(12, 7, 9)
    labels = tokens[:, 1:].masked_fill(~real[:, 1:], ignored)
    return {"tokens": tokens[:, :-1], "attention_mask": real[:, 1:].long(), "labels": labels}


def counting_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def healthy_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)


class Declared(Decoder):
    """Says what its padding is."""

    def __init__(self) -> None:
        super().__init__()
        self.reader.tokens.padding_idx = PAD


CACHED_DIFFERS = {
    "places": lambda: Case(PlacesBeginAgain(), {"tokens": rows(11, 11)[0]}),
    "overwritten": lambda: Case(CacheTurned(), {"tokens": rows(11, 11)[0]}),
    "start-and-step": lambda: Case(StepDecoder(keep=4), rows(11, 11)[0]),
    "step": lambda: Case(Decoder(), rows(11, 11)[0], {"step": forgetful_step}),
}
WINDOW_OFF_BY_ONE = {
    "one-more": lambda: Case(Windowed(before=4), rows(17, 17)[0], {"window": (3, 0)}),
    "one-less": lambda: Case(Windowed(before=2), rows(17, 17)[0], {"window": (3, 0)}),
}
LOSS_COUNTS_PADDING = {
    "labels-are-padding": lambda: Case(Labelled(ignored=-100), labelled(ignored=PAD)),
    "mean-over-all": lambda: Case(Labelled(ignored=-100, over_all=True), labelled(ignored=-100)),
    "loss": lambda: Case(Declared(), rows(11, 7, 9)[0], {"loss": counting_loss}),
}
HEALTHY = {
    "cached": lambda: Case(Cached(), {"tokens": rows(11, 11)[0]}),
    "start-and-step": lambda: Case(StepDecoder(keep=40), rows(11, 11)[0]),
    "step": lambda: Case(Decoder(), rows(11, 11)[0], {"step": careful_step}),
    "window": lambda: Case(Windowed(before=3), rows(17, 17)[0], {"window": (3, 0)}),
    "labels": lambda: Case(Labelled(ignored=-100), labelled(ignored=-100)),
    "loss": lambda: Case(Declared(), rows(11, 7, 9)[0], {"loss": healthy_loss}),
}
