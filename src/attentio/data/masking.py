"""Holes for a masked language model to fill: which tokens are asked for, and what stands there instead."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from attentio.config.schema import MaskingConfig
from attentio.data.batches import IGNORE_INDEX

_LONGEST_SPAN = 10  # in words
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / the golden ratio
_DRAWS = 4  # random numbers per token: where (two of them), what happens there, which token instead


class Corrupted(NamedTuple):
    """inputs: what the model reads. labels: what is asked for; IGNORE_INDEX where nothing is."""

    inputs: Int[np.ndarray, "rows positions"]
    labels: Int[np.ndarray, "rows positions"]


def draws(
    rows: Int[np.ndarray, "rows"], positions: int, *, seed: int, epoch: int
) -> Float[np.ndarray, "rows positions 4"]:
    """The random numbers, uniform in [0, 1), that `corrupt` needs.

    Those of a row depend on no other row, nor on how many positions there are. A generator per row would cost more
    than all the rest, so each number is a hash of where it stands: SplitMix64 (Steele, Lea and Flood 2014, "Fast
    splittable pseudorandom number generators"), with a stream for each row.

    Args:
        rows: the number of each row in its corpus.
        positions: of the widest row.
        seed: of the run.
        epoch: from 0.
    """
    base = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    streams = _mixed(base + rows.astype(np.uint64) * _GOLDEN)
    bits = _mixed(streams[:, None] + np.arange(positions * _DRAWS, dtype=np.uint64) * _GOLDEN)
    return ((bits >> np.uint64(11)) * 2.0**-53).reshape(len(rows), positions, _DRAWS)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """SplitMix64's mixing function (Stafford's variant 13), of 64 bits each."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def corrupt(
    tokens: Int[np.ndarray, "rows positions"],
    word_starts: Bool[np.ndarray, "rows positions"],
    masking: MaskingConfig,
    *,
    mask_id: int,
    ordinary: Int[np.ndarray, "ordinary"],
    draws: Float[np.ndarray, "rows positions 4"],
) -> Corrupted:
    """Ask for some of the tokens, and put something else where most of those were.

    Only ordinary tokens are asked for, and only ordinary ones are put in at random: never padding, never a
    special token, UNK among them. Each is asked for with probability `rate` exactly, so a short row may have
    no question in an epoch, and even a whole small batch none.

    Args:
        tokens: ids.
        word_starts: where a word begins. Only read where the unit is a word or span.
        masking: how.
        mask_id: the id of MASK.
        ordinary: the ids that are not special.
        draws: see `draws`.
    """
    where, length, action, other = np.moveaxis(draws, -1, 0)
    word_starts = word_starts | (np.arange(tokens.shape[1]) == 0)
    if masking.unit == "span":
        spans, chosen = _spans(word_starts, where, length, masking)
        action = np.take_along_axis(action, spans, axis=1)
    elif masking.unit == "word":
        first_token = np.maximum.accumulate(np.where(word_starts, np.arange(tokens.shape[1]), 0), axis=1)
        chosen = np.take_along_axis(where, first_token, axis=1) < masking.rate
    else:
        chosen = where < masking.rate
    is_ordinary = np.zeros(max(tokens.max(), ordinary.max()) + 1, dtype=bool)
    is_ordinary[ordinary] = True
    chosen = chosen & is_ordinary[tokens]
    replaced = np.where(action < masking.mask, mask_id, ordinary[(other * len(ordinary)).astype(np.int64)])
    return Corrupted(
        inputs=np.where(chosen & (action < masking.mask + masking.random), replaced, tokens),
        labels=np.where(chosen, tokens, IGNORE_INDEX),
    )


def _spans(
    word_starts: Bool[np.ndarray, "rows positions"],
    where: Float[np.ndarray, "rows positions"],
    length: Float[np.ndarray, "rows positions"],
    masking: MaskingConfig,
) -> tuple[Int[np.ndarray, "rows positions"], Bool[np.ndarray, "rows positions"]]:
    """The number of the last span that has begun at each position, and whether the position is in it.

    Gaps and spans take turns along the words of a row. After a span each word begins the next one with
    probability q = rate / (rate + L * (1 - rate)), where L is the mean length; then the share of words in spans
    is `rate` in the long run. A row begins in the middle of that run, in what is left of an earlier span
    with probability `rate`, so that its first words are as likely as any.
    """
    width = word_starts.shape[1]
    chance = (1 - 1 / masking.mean_span) ** np.arange(_LONGEST_SPAN)  # of length 1, 2, .., up to a factor
    at_least = np.cumsum(chance[::-1])[::-1] / chance.sum()  # P(length >= 1, 2, ..)
    q = masking.rate / (masking.rate + at_least.sum() * (1 - masking.rate))
    with np.errstate(divide="ignore", over="ignore"):  # q = 1: no gaps; q near 0: one without end
        gaps = np.minimum(np.log1p(-where) / np.log1p(-q), width).astype(np.int64)
    gaps[:, 0] = 0
    lengths = 1 + np.searchsorted(1 - at_least[1:], length, side="right")
    # Span 0: what is left of an earlier one, n words with probability P(length >= n) / L; or none, and one free word.
    left = 1 + np.searchsorted(np.cumsum(at_least[:-1]) / at_least.sum(), length[:, 0], side="right")
    lengths[:, 0] = np.where(where[:, 0] < masking.rate, left, 0)
    steps = np.maximum(lengths, 1)
    starts = np.minimum(np.cumsum(gaps + steps, axis=1) - steps, width)
    cells = np.arange(len(starts))[:, None] * (width + 1) + starts
    begun = np.bincount(cells.ravel(), minlength=len(starts) * (width + 1)).reshape(len(starts), width + 1)
    words = np.cumsum(word_starts, axis=1) - 1
    spans = np.take_along_axis(np.cumsum(begun, axis=1) - 1, words, axis=1)
    return spans, words < np.take_along_axis(starts + lengths, spans, axis=1)
