"""The three comparisons: how alike are a query and a key? Everything with parameters is done before, in
`layers`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from jaxtyping import Float
from torch import Tensor

ScoreFunction = Callable[[Tensor, Tensor], Tensor]
"""A comparison: query [batch, (heads,) q, _] and key [batch, (heads,) k, _] to scores
[batch, (heads,) q, k]."""


@dataclass(frozen=True)
class Dot:
    """scores[i, j] = query[i] . key[j]

    With a projected key this is Luong's *general*.

    Reference: Luong et al. 2015, section 3.1, the scores below equation 7 (*dot*, *general*).

    >>> query, key = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    >>> at.Dot()(query, key)
    tensor([[[11.,  2.]]])
    >>> at.attend(query, key, key, score=at.Dot())
    Attended(context [1, 1, 2], weights None)
    >>> at.Dot().require_fit(query, key)
    """

    def __call__(
        self, query: Float[Tensor, "batch *heads q d"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        self.require_fit(query, key)
        return query @ key.transpose(-1, -2)

    def require_fit(self, query: Tensor, key: Tensor) -> None:
        """Raises ValueError where query and key differ in their number of features."""
        _require_same_features(query, key)


@dataclass(frozen=True)
class ScaledDot:
    """scores[i, j] = scale * query[i] . key[j]

    Args:
        scale: None means 1 / sqrt(d). A tensor of one number may be a learned scale: it gets its gradient.

    Raises:
        ValueError: a tensor of several numbers, or what is no finite number.

    Reference: Vaswani et al. 2017, section 3.2.1, equation 1.

    >>> query, key = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    >>> at.ScaledDot(scale=0.5)(query, key)
    tensor([[[5.5000, 1.0000]]])
    >>> at.ScaledDot()(query, key)  # divided by the square root of 2
    tensor([[[7.7782, 1.4142]]])
    >>> at.ScaledDot().require_fit(query, key)
    """

    scale: float | Float[Tensor, "*one"] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scale, Tensor):
            if self.scale.numel() != 1:
                raise ValueError(
                    "scale must be a number, or a tensor of one; "
                    f"got {list(self.scale.shape)}; multiply the query by them"
                )
        elif isinstance(self.scale, str) or (isinstance(self.scale, float) and not math.isfinite(self.scale)):
            raise ValueError(f"scale must be a finite number, or a tensor of one; got {self.scale!r}")

    def __call__(
        self, query: Float[Tensor, "batch *heads q d"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        self.require_fit(query, key)
        scale = self.scale
        if isinstance(scale, Tensor):
            scale = scale.to(query).reshape(())
        return (query * (dot_scale(self, query) if scale is None else scale)) @ key.transpose(-1, -2)

    def require_fit(self, query: Tensor, key: Tensor) -> None:
        """Raises ValueError where query and key differ in their number of features."""
        _require_same_features(query, key)


@dataclass(frozen=True, eq=False)
class Additive:
    """scores[i, j] = vector . tanh(query[i] + key[j])

    Query and key are already projected: Bahdanau's W_a s and U_a h. Luong's *concat*, v . tanh(W [s; h]), is
    the same with W = [W_a, U_a].

    Args:
        vector: weight of each feature; the papers' v_a. Of any dtype: the scores have the query's.

    Raises:
        ValueError: `vector` is no tensor of one axis.

    Reference: Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015, below equation 7 (*concat*).

    >>> query, key = torch.zeros(1, 1, 2), torch.tensor([[[0.5, 1.0], [0.0, -1.0]]])
    >>> score = at.Additive(torch.tensor([1.0, 2.0]))
    >>> score(query, key)  # tanh(0.5) + 2 tanh(1), and 2 tanh(-1)
    tensor([[[ 1.9853, -1.5232]]])
    >>> score, score.require_fit(query, key)
    (Additive(vector [2]), None)
    """

    vector: Float[Tensor, "d"]

    def __post_init__(self) -> None:
        if not isinstance(self.vector, Tensor) or self.vector.ndim != 1:
            got = list(self.vector.shape) if isinstance(self.vector, Tensor) else type(self.vector).__name__
            raise ValueError(f"vector must be a tensor with one weight for each feature, got {got}")

    def __repr__(self) -> str:
        return f"Additive(vector {list(self.vector.shape)})"

    def __call__(
        self, query: Float[Tensor, "batch *heads q d"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        self.require_fit(query, key)
        # In place: the sum is [.., q, k, d], by far the largest tensor here, and nobody else needs it.
        return (query[..., :, None, :] + key[..., None, :, :]).tanh_() @ self.vector.to(query.dtype)

    def require_fit(self, query: Tensor, key: Tensor) -> None:
        """Raises ValueError where query, key and vector differ in their number of features."""
        _require_same_features(query, key)
        if self.vector.device != key.device:
            raise ValueError(f"vector must be on the device of the keys ({key.device}), got {self.vector.device}")
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

    >>> query, key = torch.tensor([[[0.1, 0.7, 0.2]]]), torch.zeros(1, 2, 5)  # scores for 3 positions, and 2 keys
    >>> at.Location()(query, key)
    tensor([[[0.1000, 0.7000]]])
    >>> at.Location().require_fit(query, key)
    """

    def __call__(
        self, query: Float[Tensor, "batch *heads q positions"], key: Float[Tensor, "batch *heads k d"]
    ) -> Float[Tensor, "batch *heads q k"]:
        self.require_fit(query, key)
        return query[..., : key.shape[-2]]

    def require_fit(self, query: Tensor, key: Tensor) -> None:
        """Raises ValueError where there are more keys than the query has scores for."""
        k_len = key.shape[-2]
        if query.shape[-1] < k_len:
            raise ValueError(
                f"query must hold a score for each of the {k_len} keys when score is Location, "
                f"got query {list(query.shape)}"
            )


COMPARISONS = (Dot, ScaledDot, Additive, Location)
"""The comparisons that engines know; any other score is a function of which nothing is known."""


def dot_scale(score: Dot | ScaledDot, query: Float[Tensor, "*_ d"]) -> float:
    """What the dot products are multiplied by. In the call of an engine a scale is no tensor: see `checked_call`."""
    if isinstance(score, Dot):
        return 1.0
    return query.shape[-1] ** -0.5 if score.scale is None else cast(float, score.scale)


def _require_same_features(query: Tensor, key: Tensor) -> None:
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"query and key must have the same number of features to be compared, "
            f"got query {list(query.shape)} and key {list(key.shape)}"
        )
