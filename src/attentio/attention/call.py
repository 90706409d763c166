"""One call of `attend`, checked, as the engines receive it, and what they give back."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.compare import Score
from attentio.attention.mask import Mask, with_heads


class Attended(NamedTuple):
    """What attention found.

    context: the weighted sum of the values.
    weights: where each query looked, before dropout; None unless they were asked for.
    """

    context: Float[Tensor, "batch *heads q dv"]
    weights: Float[Tensor, "batch *heads q k"] | None


class Call(NamedTuple):
    """The arguments of `attend`."""

    query: Float[Tensor, "batch *heads q _"]
    key: Float[Tensor, "batch *heads k d"]
    value: Float[Tensor, "batch *heads k dv"]
    score: Score
    mask: Mask | None
    bias: Float[Tensor, "..."] | None
    dropout: float
    need_weights: bool

    def allowed(self) -> Bool[Tensor, "... _ _"] | None:
        """The mask as a tensor that broadcasts to the scores; None where nothing is masked."""
        if self.mask is None:
            return None
        shape = (*self.query.shape[:-1], self.key.shape[-2])
        allowed = self.mask.materialize(shape[-2], shape[-1], self.query.device)
        if len(shape) == 4:
            allowed = with_heads(allowed)
        require_broadcast("mask", allowed, shape)
        return allowed


def require_broadcast(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raises ValueError where `tensor` does not broadcast to the scores."""
    given = tensor.shape
    if len(given) <= len(shape) and all(
        have in (1, need) for have, need in zip(reversed(given), reversed(shape), strict=False)
    ):
        return
    axes = "[batch, q, k]" if len(shape) == 3 else "[batch, heads, q, k]"
    raise ValueError(f"{name} must broadcast to the scores {axes} = {list(shape)}, got {list(given)}")
