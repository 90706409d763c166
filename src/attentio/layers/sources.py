"""A source sequence made ready for a decoder to attend to, once for all its steps."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Source(NamedTuple):
    """keys to compare with, values to aggregate, and how many positions of each sentence may be attended to."""

    keys: Float[Tensor, "batch source d"]
    values: Float[Tensor, "batch source dv"]
    lengths: Int[Tensor, "batch"]

    def keep(self, rows: Int[Tensor, "kept"]) -> "Source":
        """Only the sentences numbered in `rows`."""
        return self._replace(keys=self.keys[rows], values=self.values[rows], lengths=self.lengths[rows])
