"""Attention whose weights are wrong: softmax twice, over another axis, masked too late; scores on a wrong scale."""

import math
from collections.abc import Callable

import torch
from tagger import HEAD_FEATURES, HEADS, VOCABULARY, WIDTH, Example, Projected, example
from torch import Tensor, nn
from torch.nn import functional as F

FORBIDDEN = torch.finfo(torch.float32).min


class SoftmaxTwice(Projected):
    """The weights go through softmax again: all of them nearly equal, those of padding too."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        weights = scores.masked_fill(~real[:, None, None, :], FORBIDDEN).softmax(-1)
        return self.join(weights.softmax(-1) @ value)


class ProbabilitiesForTheLoss(nn.Module):
    """Ends in a softmax, and cross_entropy takes another."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask).softmax(-1)


class OverTheQueries(Projected):
    """Every key's weights sum to 1 over the queries, where every query's should over the keys."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        scores = scores.masked_fill(~(real[:, None, None, :] & real[:, None, :, None]), FORBIDDEN)
        weights = torch.softmax(scores, dim=2).masked_fill(~real[:, None, None, :], 0.0)
        return self.join(weights @ value)


class MaskedTooLate(Projected):
    """The mask comes after the softmax: what padding had taken is missing from the sum."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        return self.join((scores.softmax(-1) * real[:, None, None, :]) @ value)


class ReturnsDroppedWeights(nn.Module):
    """A language model that gives out the weights that dropout has already been through."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.attention = Projected()

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.attention.heads(self.embed(input_ids))
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(later, -math.inf).softmax(-1)
        weights = F.dropout(weights, 0.3, training=self.training)
        return self.attention.join(weights @ value), weights


class ScaledBy(Projected):
    """torch's function with a scale of one's own."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        mask = real[:, None, None, :]
        return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scale))


class ScaledByHand(Projected):
    """Written out, with a scale of one's own."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * self.scale
        return self.join(scores.masked_fill(~real[:, None, None, :], FORBIDDEN).softmax(-1) @ value)


def softmax_twice() -> Example:
    return example(SoftmaxTwice())


def _tagging_loss(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    logits = model(**inputs)
    tags = inputs["input_ids"] * 5 % VOCABULARY
    labels = tags.masked_fill(inputs["attention_mask"] == 0, -100)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def probabilities_for_cross_entropy() -> Example:
    model, inputs, _ = example(ScaledByHand(1 / math.sqrt(HEAD_FEATURES)))
    loss: Callable[..., Tensor] = _tagging_loss
    return ProbabilitiesForTheLoss(model), inputs, {"loss": loss}


def softmax_over_the_queries() -> Example:
    return example(OverTheQueries())


def masked_after_the_softmax() -> Example:
    return example(MaskedTooLate())


def weights_with_dropout() -> Example:
    return ReturnsDroppedWeights(), {"input_ids": torch.randint(VOCABULARY, (3, 11))}, {}


def no_scale() -> Example:
    return example(ScaledByHand(1.0), embedding_scale=8.0, causal=False)


def multiplied_instead_of_divided() -> Example:
    return example(ScaledBy(math.sqrt(HEAD_FEATURES)))


def width_of_the_model_instead_of_the_head() -> Example:
    return example(ScaledBy(1 / math.sqrt(WIDTH)))


def divided_by_d() -> Example:
    return example(ScaledByHand(1 / HEAD_FEATURES))


assert HEADS * HEAD_FEATURES == WIDTH

DOUBLE_SOFTMAX = {"softmax-twice": softmax_twice, "probabilities-for-cross-entropy": probabilities_for_cross_entropy}
WEIGHTS_NOT_NORMALIZED = {
    "softmax-over-the-queries": softmax_over_the_queries,
    "masked-after-the-softmax": masked_after_the_softmax,
}
WEIGHTS_AFTER_DROPOUT = {"weights-with-dropout": weights_with_dropout}
WRONG_SCALE = {
    "no-scale": no_scale,
    "multiplied-instead-of-divided": multiplied_instead_of_divided,
    "width-of-the-model-instead-of-the-head": width_of_the_model_instead_of_the_head,
    "divided-by-d": divided_by_d,
}
