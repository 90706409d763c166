"""The three comparisons: how alike are a query and a key? Everything with parameters is done before, in
`layers`."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]
"""A comparison: query [batch, (heads,) q, _] and key [batch, (heads,) k, _] to scores
[batch, (heads,) q, k]."""


def require_same_features(query: Tensor, key: Tensor) -> None:
    """Raises ValueError where query and key differ in their last axis."""
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"query and key must have the same number of features to be compared, "
            f"got query {list(query.shape)} and key {list(key.shape)}"
        )


@dataclass(frozen=True)
class Dot:
    """scores[i, j] = query[i] . key[j]

    With a projected key this is Luong's *general*.

    Reference: Luong et al. 2015, section 3.1, the scores below equation 7 (*dot*, *general*).
    """

    def __call__(
        self, query: Float[Tensor, "batch *heads q d"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        require_same_features(query, key)
        return query @ key.transpose(-1, -2)


@dataclass(frozen=True)
class ScaledDot:
    """scores[i, j] = scale * query[i] . key[j]

    Args:
        scale: None means 1 / sqrt(d).

    Reference: Vaswani et al. 2017, section 3.2.1, equation 1.
    """

    scale: float | None = None

    def __call__(
        self, query: Float[Tensor, "batch *heads q d"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        require_same_features(query, key)
        return (query * dot_scale(self, query)) @ key.transpose(-1, -2)


def dot_scale(score: Dot | ScaledDot, query: Float[Tensor, "*_ d"]) -> float:
    """What the dot products are multiplied by."""
    if isinstance(score, Dot):
        return 1.0
    return query.shape[-1] ** -0.5 if score.scale is None else score.scale


@dataclass(frozen=True, eq=False)
class Additive:
    """scores[i, j] = vector . tanh(query[i] + key[j])

    Query and key are already projected: Bahdanau's W_a s and U_a h. Luong's *concat*, v . tanh(W [s; h]), is
    the same with W = [W_a, U_a].

    Args:
        vector: weight of each feature; the papers' v_a. Of any dtype: the scores have the query's.

    Reference: Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015, below equation 7 (*concat*).
    """

    vector: Float[Tensor, "d"]

    def __call__(
        self, query: Float[Tensor, "batch *heads q d"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        self.require_fitting(query, key)
        # In place: the sum is [.., q, k, d], by far the largest tensor here, and nobody else needs it.
        return (query[..., :, None, :] + key[..., None, :, :]).tanh_() @ self.vector.to(query.dtype)

    def require_fitting(self, query: Tensor, key: Tensor) -> None:
        """Raises ValueError where query, key and vector differ in their number of features."""
        require_same_features(query, key)
        if self.vector.shape != key.shape[-1:]:
            raise ValueError(
                f"vector must have one weight for each of the {key.shape[-1]} features, got {list(self.vector.shape)}"
            )


@dataclass(frozen=True)
class Location:
    """scores[i, j] = query[i, j]: the query says where to look, whatever the keys hold.

    The query, projected by Luong's W_a, has one score for each position up to the longest source the model
    can read; the first k of them are used, where k is the number of keys.

    Reference: Luong et al. 2015, equation 8 (*location*).
    """

    def __call__(
        self, query: Float[Tensor, "batch *heads q positions"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        k_len = key.shape[-2]
        if query.shape[-1] < k_len:
            raise ValueError(
                f"query must hold a score for each of the {k_len} keys when score is Location, "
                f"got query {list(query.shape)}"
            )
        return query[..., :k_len]
