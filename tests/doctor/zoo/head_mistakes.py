"""Heads that do not do their work: even, one-hot, without effect, all on one token."""

import math

import torch
from tagger import HEAD_FEATURES, WIDTH, Example, Projected, example
from torch import Tensor

FIRST = slice(0, HEAD_FEATURES)


class Heads(Projected):
    """As it should be; the mistakes are in the parameters."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        return self.join(scores.masked_fill(~real[:, None, None, :], torch.finfo(scores.dtype).min).softmax(-1) @ value)


class AllOnTheFirst(Projected):
    """A bonus for the first key, larger than anything that scores can say."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        scores = scores + 5.0 * (torch.arange(real.shape[1]) == 0)
        return self.join(scores.masked_fill(~real[:, None, None, :], torch.finfo(scores.dtype).min).softmax(-1) @ value)


def a_head_without_queries() -> Example:
    """The projection of one head was never loaded: all its scores are 0."""
    attention = Heads()
    with torch.no_grad():
        attention.query.weight[FIRST] = 0.0
        attention.query.bias[FIRST] = 0.0
        attention.query.weight[HEAD_FEATURES:] *= 4.0
    return example(attention)


def every_head_one_hot() -> Example:
    """Projections so large that softmax is a choice, through which no gradient comes back."""
    attention = Heads()
    with torch.no_grad():
        attention.query.weight *= 60.0
        attention.key.weight *= 60.0
    return example(attention, causal=False)


def a_head_without_values() -> Example:
    attention = Heads()
    with torch.no_grad():
        attention.value.weight[FIRST] = 0.0
        attention.value.bias[FIRST] = 0.0
    return example(attention)


def a_head_that_is_not_read() -> Example:
    """Its columns of the output projection are 0: pruned, and still computed."""
    attention = Heads()
    with torch.no_grad():
        attention.output.weight[:, FIRST] = 0.0
    return example(attention)


def all_on_the_first_token() -> Example:
    return example(AllOnTheFirst())


assert WIDTH > HEAD_FEATURES

UNIFORM_HEADS = {"a-head-without-queries": a_head_without_queries}
ONE_HOT_HEADS = {"every-head-one-hot": every_head_one_hot}
DEAD_HEADS = {"a-head-without-values": a_head_without_values, "a-head-that-is-not-read": a_head_that_is_not_read}
ATTENTION_SINK = {"all-on-the-first-token": all_on_the_first_token}
