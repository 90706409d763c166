"""A source sequence made ready for a decoder to attend to, once for all its steps."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.layers.additive import AdditiveScore
from attentio.layers.luong import DotScore, GeneralScore, LocationScore
from attentio.layers.own_score import OwnScore

Score = AdditiveScore | DotScore | GeneralScore | LocationScore | OwnScore


class Source(NamedTuple):
    """keys to compare with, values to aggregate, and how many positions of each sentence may be attended to."""

    keys: Float[Tensor, "batch source d"]
    values: Float[Tensor, "batch source dv"]
    lengths: Int[Tensor, "batch"]

    def to(self, dtype: torch.dtype) -> "Source":
        """Keys and values in this dtype: under autocast those that are not projected have another."""
        return self._replace(keys=self.keys.to(dtype), values=self.values.to(dtype))

    def keep(self, rows: Int[Tensor, "kept"]) -> "Source":
        """Only the sentences numbered in `rows`."""
        return self._replace(keys=self.keys[rows], values=self.values[rows], lengths=self.lengths[rows])


def prepare(score: Score | None, memory: Float[Tensor, "batch source memory"], lengths: Int[Tensor, "batch"]) -> Source:
    """What an attention needs of the source whatever the queries: made once for all decoding steps.

    score: of the attention; None for one that compares by itself.
    """
    if score is None:
        return Source(memory, memory, lengths)
    reached = lengths if score.reach is None else lengths.clamp(max=score.reach)
    return Source(score.keys(memory), memory, reached)
