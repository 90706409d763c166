"""Attention as it should be, in the ways in which people write it. The doctor must find nothing here."""

import math

import torch
from mask_mistakes import Fine
from tagger import HEAD_FEATURES, HEADS, VOCABULARY, WIDTH, Example, Projected, example, sentences
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at


class Sdpa(Projected):
    """torch's function, True = may attend."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :]))


class ScaledQueries(Projected):
    """The queries are scaled before the product, as OPT and BART do, batch and heads in one axis."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = (each.flatten(0, 1) for each in self.heads(hidden))
        scores = torch.bmm(query * HEAD_FEATURES**-0.5, key.transpose(1, 2))
        scores = scores + torch.where(real, 0.0, -1e9).repeat_interleave(HEADS, dim=0).unsqueeze(1)
        context = torch.bmm(F.dropout(scores.softmax(-1), 0.1, self.training), value)
        return self.join(context.unflatten(0, (-1, HEADS)))


class Gated(Projected):
    """A gate on the weights: their sums are meant to be less than 1. No scale, and small projections, as in T5."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, HEADS)
        self.query.weight.data.mul_(HEAD_FEATURES**-0.5)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key)
        weights = scores.masked_fill(~real[:, None, None, :], torch.finfo(scores.dtype).min).softmax(-1)
        weights = weights * self.gate(hidden).sigmoid().transpose(1, 2).unsqueeze(3)
        return self.join(torch.einsum("bhqk,bhkd->bhqd", weights, value))


class Multihead(nn.Module):
    """torch's layer, True = ignore."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        return self.attend(hidden, hidden, hidden, key_padding_mask=~real, need_weights=False)[0]


class Ours(Projected):
    """attentio's function."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        return self.join(at.attend(*self.heads(hidden), mask=at.padding(real.sum(1))).context)


class Additive(nn.Module):
    """Bahdanau's comparison; one head, and weights [batch, q, k]."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.score = nn.Linear(WIDTH, 13), nn.Linear(WIDTH, 13), nn.Linear(13, 1)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.query(hidden).unsqueeze(2) + self.key(hidden).unsqueeze(1))).squeeze(3)
        return scores.masked_fill(~real.unsqueeze(1), -1e9).softmax(2) @ hidden


class WeightsBeforeDropout(nn.Module):
    """A language model that gives out its weights, as they were before dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Embedding(VOCABULARY, WIDTH), Projected()

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.attention.heads(self.embed(input_ids))
        scores = query @ key.mT / math.sqrt(HEAD_FEATURES)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(later, -math.inf).softmax(-1)
        return self.attention.join(F.dropout(weights, 0.3, self.training) @ value), weights


def _language_model() -> Example:
    return WeightsBeforeDropout(), {"input_ids": torch.randint(VOCABULARY, (3, 11))}, {"causal": True}


def _tagging_loss(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    tags = inputs["input_ids"] * 5 % VOCABULARY
    labels = tags.masked_fill(inputs["attention_mask"] == 0, -100)
    return F.cross_entropy(model(**inputs).flatten(0, 1), labels.flatten())


def _features() -> Example:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True)
    mask = sentences()["attention_mask"] == 0
    return nn.TransformerEncoder(layer, 2), {"src": torch.randn(*mask.shape, WIDTH), "src_key_padding_mask": mask}, {}


HEALTHY = {
    "written out": lambda: example(Fine(), loss=_tagging_loss),
    "torch's function": lambda: example(Sdpa()),
    "scaled queries": lambda: example(ScaledQueries()),
    "gated, without scale": lambda: example(Gated()),
    "torch's layer": lambda: example(Multihead()),
    "attentio.attend": lambda: example(Ours()),
    "additive": lambda: example(Additive()),
    "weights before dropout": _language_model,
    "nn.TransformerEncoder": _features,
}
