"""The record of one call of one attention."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float16, Int32
from torch import Tensor

from attentio.errors import harmless
from attentio.notebook import GRIDS, POSITIONS, captioned, frame, grid, left_out

SelfOrCross = Literal["self", "cross"]
"""Self-attention, or cross-attention to another sequence."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenAttention:
    """One call of one attention.

    name: path of the module in the captured model, "decoder.layers.0.cross_attention"; "" outside any submodule.
    call: how often this name was called before, in the same capture.
    kind: whether a sequence attends to itself or to another one.
    heads: the numbers of the heads that were kept.
    weights: softmax of the scores, or what else `attend` was given to normalize with, before dropout. Numbers below
        6e-8 are 0 in float16.
    alpha: of the entmax that made the weights: 1 for softmax, 2 for sparsemax; None for another function.
    indices: with `top_k` only: the key of each weight, the largest weight first; -1 (and weight 0) where there are
        fewer keys than top_k.
    keys: how many keys there were.
    q_start: position, from 0, of the first query; more than 0 where earlier tokens came from a cache.

    With `parts` only, else None; of these, what the attention's interface showed:

    query, key, value: after projection, of each head.
    scores: compare(query, key), scaled, bias added, before the mask.
    allowed: which keys a query may attend to, True = may; broadcasts to scores; None: all.
    scale: what dot products were multiplied by.

    >>> x = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> with at.capture(x, top_k=2) as seen:
    ...     output = x(torch.randn(1, 5, 8), torch.randn(1, 7, 8), torch.randn(1, 7, 8))
    >>> seen[0]
    SeenAttention((the model) 0: cross batch 1, heads 2, queries 5, keys 7)
    >>> seen[0].weights.shape, seen[0].dense().shape
    (torch.Size([1, 2, 5, 2]), torch.Size([1, 2, 5, 7]))
    """

    name: str
    call: int
    kind: SelfOrCross
    heads: tuple[int, ...]
    weights: Float16[Tensor, "batch heads q kept"]
    indices: Int32[Tensor, "batch heads q kept"] | None = None
    keys: int
    q_start: int = 0
    alpha: float | None = 1.0
    query: Float16[Tensor, "batch heads q d"] | None = None
    key: Float16[Tensor, "batch heads k d"] | None = None
    value: Float16[Tensor, "batch heads k dv"] | None = None
    scores: Float16[Tensor, "batch heads q k"] | None = None
    allowed: Bool[Tensor, "... _ _"] | None = None
    scale: float | None = None

    def __str__(self) -> str:
        batch, heads, q, _ = self.weights.shape
        name = harmless(self.name) or "(the model)"
        return f"{name} {self.call}: {self.kind} batch {batch}, heads {heads}, queries {q}, keys {self.keys}"

    def __repr__(self) -> str:
        return f"SeenAttention({self})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        count = self.weights.shape[0] * self.weights.shape[1]
        drawn = [captioned(f"sequence 0, head {head}", picture(self, i)) for i, head in enumerate(self.heads[:GRIDS])]
        return frame(str(self), *drawn, left_out(count - len(drawn)))

    def dense(self) -> Float16[Tensor, "batch heads q k"]:
        """The weights of all keys; those that `top_k` left out are 0."""
        if self.indices is None:
            return self.weights
        dense = self.weights.new_zeros(*self.weights.shape[:3], self.keys)
        # Added, not written: an index of -1 brings weight 0 to key 0, which may have a weight of its own.
        return dense.scatter_add_(3, self.indices.clamp(min=0).long(), self.weights)


def picture(one: SeenAttention, head: int = 0) -> str:
    """For notebooks: of the first sequence, the head that was kept at this place."""
    if not one.weights.shape[0]:
        return ""
    corner = slice(1), slice(head, head + 1), slice(POSITIONS)
    few = SeenAttention(
        name=one.name,
        call=one.call,
        kind=one.kind,
        heads=one.heads[head : head + 1],
        weights=one.weights[corner],
        indices=None if one.indices is None else one.indices[corner],
        keys=one.keys,
    )
    return grid(few.dense()[0, 0], size=(one.weights.shape[2], one.keys))
