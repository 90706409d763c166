"""What outputs must be like, in tokens: how they begin, what they must say, what they may not say twice."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TokenConstraints:
    """Ids of the target's vocabulary; the end token is in none of them.

    prefix: what an output begins with, so that it is not chosen but still pays its price.
    joining: what would make another letter of the prefix's last, as a final consonant does, and may not follow it.
    required: phrases that stand somewhere in an output, each in one piece; they may overlap.
    no_repeat_ngram: no so many tokens in a row are said twice, but for what the prefix says; None allows it.
    """

    prefix: Sequence[int] = ()
    joining: Sequence[int] = ()
    required: Sequence[Sequence[int]] = ()
    no_repeat_ngram: int | None = None

    @property
    def needs_history(self) -> bool:
        """Whether what may be said next depends on what was said."""
        return bool(self.prefix or self.required or self.no_repeat_ngram)

    @property
    def banks(self) -> int:
        """One for each number of required tokens that may still be missing, from 0; 1 where nothing is required."""
        return sum(map(len, self.required)) + 1

    @property
    def required_ids(self) -> list[int]:
        """Every id of a required phrase, once."""
        return sorted({token for phrase in self.required for token in phrase})

    def restrict(
        self, scores: Float[Tensor, "batch beam vocab"], said: Int[Tensor, "batch beam length"], *, end: int
    ) -> None:
        """Set to -inf what may not follow `said`, in place. `end` may follow where no required token is missing."""
        count = said.shape[2]
        if count < len(self.prefix):
            others = torch.arange(scores.shape[2], device=scores.device) != self.prefix[count]
            scores.masked_fill_(others, -math.inf)
        elif count == len(self.prefix) and self.joining:
            scores[:, :, scores.new_tensor(self.joining, dtype=torch.long)] = -math.inf
        if count >= len(self.prefix) and self.no_repeat_ngram is not None and count >= self.no_repeat_ngram:
            n, vocab = self.no_repeat_ngram, scores.shape[2]
            grams = said.unfold(2, n, 1)
            again = (grams[..., :-1] == said[:, :, None, count - n + 1 :]).all(3)
            last = grams[..., -1].masked_fill(~again, vocab)  # one more column, for those that are not said again
            repeats = scores.new_zeros(*scores.shape[:2], vocab + 1, dtype=torch.bool).scatter_(2, last, True)
            repeats[:, :, end] = False  # which outputs that have ended go on to say
            scores.masked_fill_(repeats[:, :, :vocab], -math.inf)
        if self.required:
            scores[:, :, end] = scores[:, :, end].masked_fill(self.missing(said) > 0, -math.inf)

    def missing(self, said: Int[Tensor, "*rows length"]) -> Int[Tensor, "*rows"]:
        """How many required tokens must still follow, at the least if the phrases do not overlap.

        Of a phrase that has not been said, those that the end of `said` begins are not missing.
        """
        count = torch.zeros(said.shape[:-1], dtype=torch.long, device=said.device)
        return sum((_missing(said, said.new_tensor(phrase)) for phrase in self.required), count)


def _missing(said: Int[Tensor, "*rows length"], phrase: Int[Tensor, "phrase"]) -> Int[Tensor, "*rows"]:
    size, length = len(phrase), said.shape[-1]
    left = torch.full(said.shape[:-1], size, device=said.device)
    for begun in range(1, min(size, length + 1)):
        fits = (said[..., length - begun :] == phrase[:begun]).all(-1)
        left = left.masked_fill(fits, size - begun)
    if length < size:
        return left
    return left.masked_fill((said.unfold(-1, size, 1) == phrase).all(-1).any(-1), 0)


NONE = TokenConstraints()
"""Outputs may be anything."""
