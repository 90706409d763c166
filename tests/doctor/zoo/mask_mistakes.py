"""Attention whose mask is wrong: polarity, 0 and 1 as numbers, nobody allowed, NaN behind the mask."""

import math

import torch
from tagger import HEAD_FEATURES, HEADS, WIDTH, Example, Projected, example, sentences
from torch import Tensor, nn
from torch.nn import functional as F


class EmptySentenceIsNaN(Projected):
    """-inf for padding, and nothing for a sentence that is all padding: softmax gives 0 / 0."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        scores = scores.masked_fill(~real[:, None, None, :], -math.inf)
        return self.join(scores.softmax(-1) @ value)


class OnlyTheOthers(Projected):
    """A token may not attend to itself; a sentence of one token has nobody then, and reads padding evenly."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        others = real[:, None, None, :] & ~torch.eye(real.shape[1], dtype=torch.bool)
        return self.join(scores.masked_fill(~others, -1e9).softmax(-1) @ value)


class NothingBeforeTheFirst(Projected):
    """Strictly earlier tokens only: the first has none, and torch's function makes its context 0."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        earlier = torch.ones(2 * real.shape[1:], dtype=torch.bool).tril(-1)
        return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=earlier & real[:, None, None, :]))


class InvertedSdpa(Projected):
    """True = padding, as nn.MultiheadAttention reads it, given to a function that reads True = may attend."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        padded = ~real[:, None, None, :]
        return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=padded))


class InvertedMultihead(nn.Module):
    """True = real, as F.scaled_dot_product_attention reads it, given to a layer that reads True = ignore."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        return self.attend(hidden, hidden, hidden, key_padding_mask=real)[0]


class InvertedFill(Projected):
    """masked_fill fills where True, and real tokens are True here."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        return self.join(scores.masked_fill(real[:, None, None, :], -1e9).softmax(-1) @ value)


class FutureOnly(Projected):
    """triu(1) says True = ignore the future; torch's function reads True = may attend to the future, and only there."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        later = torch.ones(2 * real.shape[1:], dtype=torch.bool).triu(1)
        return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=later & real[:, None, None, :]))


class ZeroOneSdpa(Projected):
    """A float mask is added to the scores: 1 is a small favour, 0 no ban."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        mask = real[:, None, None, :].float()
        return self.join(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))


class ZeroOneMultihead(nn.Module):
    """The same through key_padding_mask."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        return self.attend(hidden, hidden, hidden, key_padding_mask=(~real).float(), need_weights=False)[0]


class ZeroOneByHand(Projected):
    """The same, written out."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        scores = scores + real[:, None, None, :].float()
        return self.join(scores.softmax(-1) @ value)


class ZeroOneTimes(Projected):
    """Scores times the mask: a score of 0 is one like another."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES) * real[:, None, None, :]
        return self.join(scores.softmax(-1) @ value)


class NaNBehindTheMask(nn.Module):
    """Features of frames; those that are padding were never written. Their weight is 0, and 0 * NaN is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.read_out = Fine(), nn.Linear(WIDTH, 5)

    def forward(self, frames: Tensor, attention_mask: Tensor) -> Tensor:
        return self.read_out(frames + self.attention(frames, attention_mask.bool()))


class Fine(Projected):
    """How it should be: forbidden scores very small, not infinite, so that no row is NaN."""

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.heads(hidden)
        scores = query @ key.transpose(-1, -2) / math.sqrt(HEAD_FEATURES)
        scores = scores.masked_fill(~real[:, None, None, :], torch.finfo(scores.dtype).min)
        return self.join(scores.softmax(-1) @ value)


def an_empty_sentence_is_nan() -> Example:
    return example(EmptySentenceIsNaN())


def one_token_reads_padding_evenly() -> Example:
    model, inputs, options = example(OnlyTheOthers())
    mask = inputs["attention_mask"].clone()
    mask[2, 1:] = 0
    return model, {"input_ids": inputs["input_ids"] * mask, "attention_mask": mask}, options


def the_first_token_sees_nothing() -> Example:
    return example(NothingBeforeTheFirst())


def inverted_for_sdpa() -> Example:
    return example(InvertedSdpa())


def inverted_for_multihead() -> Example:
    return example(InvertedMultihead())


def inverted_by_hand() -> Example:
    return example(InvertedFill())


def causal_inverted() -> Example:
    return example(FutureOnly(), causal=True)


def zero_and_one_for_sdpa() -> Example:
    return example(ZeroOneSdpa())


def zero_and_one_for_multihead() -> Example:
    return example(ZeroOneMultihead())


def zero_and_one_by_hand() -> Example:
    return example(ZeroOneByHand())


def zero_and_one_times_scores() -> Example:
    return example(ZeroOneTimes())


def nan_behind_the_mask() -> Example:
    mask = sentences()["attention_mask"]
    frames = torch.randn(*mask.shape, WIDTH).masked_fill(mask[:, :, None] == 0, math.nan)
    return NaNBehindTheMask(), {"frames": frames, "attention_mask": mask}, {}


FULLY_MASKED_ROWS = {
    "an-empty-sentence-is-nan": an_empty_sentence_is_nan,
    "one-token-reads-padding-evenly": one_token_reads_padding_evenly,
    "the-first-token-sees-nothing": the_first_token_sees_nothing,
}
INVERTED_POLARITY = {
    "inverted-for-sdpa": inverted_for_sdpa,
    "inverted-for-multihead": inverted_for_multihead,
    "inverted-by-hand": inverted_by_hand,
    "causal-inverted": causal_inverted,
}
FLOAT_MASK_01 = {
    "zero-and-one-for-sdpa": zero_and_one_for_sdpa,
    "zero-and-one-for-multihead": zero_and_one_for_multihead,
    "zero-and-one-by-hand": zero_and_one_by_hand,
    "zero-and-one-times-scores": zero_and_one_times_scores,
}
NAN_FROM_MASKED_KEYS = {"nan-behind-the-mask": nan_behind_the_mask}
