"""Luong's comparisons (Luong et al. 2015, section 3.1): dot, general and location. *concat* is AdditiveScore."""

from jaxtyping import Float
from torch import Tensor, nn

from attentio.attention.compare import Dot, Location
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights


class DotScore(nn.Module):
    """score(s, h) = s . h, without parameters: both must have the same number of features.

    Raises ValueError where they have not.
    """

    reach: int | None = None

    def __init__(self, *, query_features: int, memory_features: int) -> None:
        super().__init__()
        if query_features != memory_features:
            raise ValueError(
                f"score 'dot' compares decoder and encoder states as they are, so they need equally many "
                f"features; got {query_features} and {memory_features}. Choose equal sizes, or score 'general'"
            )

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source d"]:
        """h itself."""
        return memory

    def queries(
        self, state: Float[Tensor, "batch q hidden"], source: int, packed: PackedWeights | None = None
    ) -> Float[Tensor, "batch q d"]:
        """s itself."""
        return state

    def comparison(self) -> Dot:
        """How a query and a key are compared."""
        return Dot()


class GeneralScore(DotScore):
    """score(s, h) = s . W h. W h is the same at every decoding step, so it is made once a source."""

    def __init__(self, *, query_features: int, memory_features: int) -> None:
        super().__init__(query_features=query_features, memory_features=query_features)
        self.key = Linear(memory_features, query_features, bias=False)

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source d"]:
        """W h."""
        return self.key(memory)


class LocationScore(nn.Module):
    """score(s, .) = W s: one score for each source position, from the decoder state alone (equation 8).

    reach: rows of W. Of a longer source the words near the end are ignored, as in the paper.
    """

    def __init__(self, *, query_features: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.query = Linear(query_features, reach, bias=False)

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source d"]:
        """Not looked at by this score."""
        return memory

    def queries(
        self, state: Float[Tensor, "batch q hidden"], source: int, packed: PackedWeights | None = None
    ) -> Float[Tensor, "batch q d"]:
        """One score for each of `source` positions, those beyond the reach (never attended to) filled with 0."""
        scores = self.query(state, packed)
        return nn.functional.pad(scores, (0, max(0, source - self.reach)))

    def comparison(self) -> Location:
        """How a query and a key are compared."""
        return Location()
