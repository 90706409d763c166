"""Two ways to compute the same attention that do not give the same."""

import math
from types import SimpleNamespace

import torch
from tagger import HEAD_FEATURES, VOCABULARY, Example, Projected, Tagger, sentences
from torch import Tensor, nn
from torch.nn import functional as F


class TwoWays(Projected):
    """The written-out way forgets the scale that torch's function applies."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        mask = real[:, None, None, :]
        if self.config._attn_implementation == "sdpa":
            return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
        scores = query @ key.transpose(-1, -2)
        return self.join(scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1) @ value)


class Switchable(Tagger):
    """Has the switch that transformers' models have."""

    def __init__(self) -> None:
        config = SimpleNamespace(_attn_implementation="sdpa")
        super().__init__(TwoWays(config))
        self.config = config

    def set_attn_implementation(self, name: str) -> None:
        if name not in ("sdpa", "eager"):
            raise ValueError(f"unknown: {name}")
        self.config._attn_implementation = name


class FlashOrNot(nn.Module):
    """A flag of one's own, as in many small language models; without the flag, the future is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.heads, self.read_out = nn.Embedding(VOCABULARY, 24), Projected(), nn.Linear(24, VOCABULARY)
        self.flash = True

    def forward(self, input_ids: Tensor) -> Tensor:
        query, key, value = self.heads.heads(self.embed(input_ids))
        if self.flash:
            return self.read_out(self.heads.join(F.scaled_dot_product_attention(query, key, value, is_causal=True)))
        weights = (query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)).softmax(-1)
        return self.read_out(self.heads.join(weights @ value))


def eager_without_scale() -> Example:
    return Switchable(), sentences(), {}


def causal_in_one_way_only() -> Example:
    return FlashOrNot(), {"input_ids": sentences()["input_ids"][:1]}, {}


BACKENDS_DISAGREE = {"eager-without-scale": eager_without_scale, "causal-in-one-way-only": causal_in_one_way_only}
