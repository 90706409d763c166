"""What runs return: translations, fillings, continuations, and the attention behind them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attentio.layers.transformer_block import BlockWeights
from attentio.notebook import frame, grid, grids, line, lines
from attentio.text.unknown import Unknown, told


@dataclass(frozen=True)
class Translation:
    """One output.

    tokens: those of the output, the end token last; source_tokens: those of the input, its end token last.
    ids: of tokens, in the vocabulary of the target.
    score: log-probability (natural) divided by the length penalty. attention: [tokens, source_tokens]; row t is the
    attention that token t came from; None for a model without attention, and the mean of those of several together.
    finished: whether the model ended the output; otherwise it is cut off at the longest that outputs may be.
    unknown: what of the input the vocabulary does not know, in order; the model read the unknown token there.
    log_probs: natural logarithm of the probability of each of `tokens` given those before it.
    copied: of a model that copies (`model.copy`), how probable it was that each of `tokens` is copied from the source;
        None of several together.

    >>> best = at.load("dates-luong").translate(["14 March 2026"])[0]
    >>> best
    Translation('2026-03-14', score ..., attention [11, 14])
    >>> best.tokens[:4], best.source_tokens[:2], best.finished, best.warnings()
    (['2', '0', '2', '6'], ['1', '4'], True, [])
    >>> best.log_prob == sum(best.log_probs), len(best.log_probs)
    (True, 11)
    """

    text: str
    tokens: list[str]
    ids: list[int]
    source_tokens: list[str]
    score: float
    attention: Float[Tensor, "target source"] | None = field(compare=False)
    finished: bool
    unknown: list[Unknown]
    log_probs: list[float]
    copied: list[float] | None = None

    @property
    def log_prob(self) -> float:
        """Natural logarithm of the probability of the whole output, its end included."""
        return sum(self.log_probs)

    def __repr__(self) -> str:
        attention = "" if self.attention is None else f", attention {list(self.attention.shape)}"
        return f"Translation({self.text!r}, score {self.score:.3f}{attention}{'' if self.finished else ', cut off'})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from attentio.pictures.labels import label  # not of the commands that draw nothing

        rows, columns = (list(map(label, tokens)) for tokens in (self.tokens, self.source_tokens))
        drawn = "" if self.attention is None else grid(self.attention, rows=rows, columns=columns)
        return frame(self.text, line(f"{self.score:.3f}", "score"), lines(self.warnings()), drawn)

    def warnings(self) -> list[str]:
        """Lines for a person about why the output may be wrong."""
        cut = ["the output is cut off: it reached the most tokens that it may have"]
        return [*([told(self.unknown)] if self.unknown else []), *([] if self.finished else cut)]


def perplexity_of(log_prob: float, tokens: int) -> float:
    """exp(-log_prob / tokens); inf where that overflows."""
    mean = -log_prob / tokens
    return math.exp(mean) if mean < 700 else math.inf


@dataclass(frozen=True)
class Scored:
    """A given output, and how probable the model finds it.

    tokens: those of the output, the end token last; ids: theirs.
    log_probs: natural logarithm of the probability of each of `tokens` given those before it.
    """

    tokens: list[str]
    ids: list[int]
    log_probs: list[float]

    @property
    def log_prob(self) -> float:
        """Natural logarithm of the probability of the whole output, its end included."""
        return sum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """exp(-log_prob / tokens); inf where that overflows."""
        return perplexity_of(self.log_prob, len(self.tokens))

    def __repr__(self) -> str:
        return (
            f"Scored({len(self.tokens)} tokens, log-probability {self.log_prob:.3f}, perplexity {self.perplexity:.4g})"
        )


@dataclass(frozen=True)
class Candidate:
    """What may stand in a hole.

    text: the whole text with the token in its hole, and every other hole filled with its most probable token.
    probability: that the model gives to the token there, of its whole vocabulary.
    """

    token: str
    text: str
    probability: float


@dataclass(frozen=True)
class Generated:
    """One sample.

    text: the prompt and what follows it. tokens: those that were drawn, the end token last if the text ended; ids:
    theirs.
    log_prob: natural logarithm of the probability that the model itself gives to the drawn tokens.
    finished: whether the model ended the text; otherwise it is cut off.
    """

    text: str
    tokens: list[str]
    ids: list[int]
    log_prob: float
    finished: bool

    def __repr__(self) -> str:
        cut = "" if self.finished else ", cut off"
        return f"Generated({self.text!r}, {len(self.tokens)} tokens, log-probability {self.log_prob:.3f}{cut})"


@dataclass(frozen=True)
class Piece:
    """One drawn token of a text that is still growing. text: what has become certain with it, perhaps nothing yet."""

    text: str
    token: str
    log_prob: float


class SelfAttention(NamedTuple):
    """Who looks at whom in a text: [layers, heads, tokens that look, tokens that are looked at]."""

    tokens: list[str]
    weights: Float[Tensor, "layers heads length length"]

    @classmethod
    def of(cls, tokens: list[str], blocks: Sequence[BlockWeights]) -> "SelfAttention":
        """Of the first row of a batch, in every block."""
        weights = torch.stack([block.own[0] for block in blocks if block.own is not None])
        return cls(tokens, weights.cpu())

    def __repr__(self) -> str:
        return f"SelfAttention({len(self.tokens)} tokens, weights {list(self.weights.shape)})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from attentio.pictures.labels import label  # not of the commands that draw nothing

        return frame(repr(self), grids(self.weights, axes=("layer", "head"), tokens=list(map(label, self.tokens))))


class AttentionPicture(NamedTuple):
    """A matrix to be drawn: a row for each of `target_tokens`, a column for each of `source_tokens`.

    note: what the terminal says besides the title of the picture. warnings: why what is shown may be wrong.
    """

    title: str
    note: str
    weights: Float[Tensor, "target source"]
    source_tokens: list[str]
    target_tokens: list[str]
    warnings: Sequence[str] = ()
