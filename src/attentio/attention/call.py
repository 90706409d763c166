"""One call of `attend`, checked, as the engines receive it, and what they give back."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.compare import ScoreFunction
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask_base import Mask, with_heads
from attentio.notebook import frame, grids


class Attended(NamedTuple):
    """What attention found.

    context: the weighted sum of the values.
    weights: where each query looked, before dropout; None unless they were asked for.

    >>> x = torch.randn(1, 3, 8)
    >>> out = at.attend(x, x, x, need_weights=True)
    >>> out
    Attended(context [1, 3, 8], weights [1, 3, 3])
    >>> bool(out.weights.sum(-1).allclose(torch.ones(1, 3)))
    True
    """

    context: Float[Tensor, "batch *heads q dv"]
    weights: Float[Tensor, "batch *heads q k"] | None

    def __repr__(self) -> str:
        weights = None if self.weights is None else list(self.weights.shape)
        return f"Attended(context {list(self.context.shape)}, weights {weights})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        return frame(repr(self), "" if self.weights is None else grids(self.weights))


class Call(NamedTuple):
    """The arguments of `attend`, always with an axis of heads; a bias has four axes, some maybe of size 1."""

    query: Float[Tensor, "batch heads q _"]
    key: Float[Tensor, "batch heads k d"]
    value: Float[Tensor, "batch heads k dv"]
    score: ScoreFunction
    mask: Mask | None
    bias: Float[Tensor, "_ _ _ _"] | None
    dropout: float
    need_weights: bool
    normalize: NormalizeFunction | None = None

    def is_empty(self) -> bool:
        """Whether there are no sequences, no heads, no queries, no keys or no features."""
        return 0 in (*self.query.shape, *self.key.shape, *self.value.shape)

    def allowed(self) -> Bool[Tensor, "*_ _ _"] | None:
        """The mask as a tensor of two or four axes that broadcasts to the scores; None where nothing is masked."""
        if self.mask is None:
            return None
        q_len, k_len = self.query.shape[2], self.key.shape[2]
        return with_heads(self.mask.part(slice(0, q_len), slice(0, k_len), k_len - q_len, self.query.device))


Compute = Callable[[Call], Attended]
