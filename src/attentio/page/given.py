"""What `view` and `describe` are given, as calls: a capture, or weights from elsewhere."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen

Weights = Float[Tensor, "*layers_heads q k"] | Float[np.ndarray, "*layers_heads q k"]
Given = Seen | Weights | Sequence[Any]
"""A capture; weights of one sequence; or weights [batch, heads, q, k], one a layer."""


def calls_of(given: Given, *, crossing: bool) -> Sequence[SeenAttention]:
    """The calls; of weights, one a layer. crossing: whether their queries are another sequence than their keys.

    Weights are from 0 on, and those of a query sum to 1 at most: to less behind a gate or where keys were taken out, to
    0 where none may be attended to. Weights of a capture may sum to anything, as a model may normalize as it likes.

    Raises:
        ValueError: nothing was seen, or the weights have other axes, or are none.
    """
    calls = _calls(given, crossing=crossing)
    for call in calls:
        _check(call, captured=isinstance(given, Seen))
    return calls


MOST = 1.01
"""Of a row of weights, whose numbers may be rounded to bfloat16 or float16."""


def _check(call: SeenAttention, *, captured: bool) -> None:
    weights = call.weights
    if 0 in weights.shape:
        raise ValueError(f"weights of {call.name!r} must have a query and a key at least, got shape {[*weights.shape]}")
    if (weights < 0).any():
        raise ValueError(
            f"weights of {call.name!r} must be at least 0, got {float(weights.min()):.4g}: are they scores?"
        )
    sums = weights.float().nansum(-1)
    if not captured and (sums > MOST).any():
        raise ValueError(
            f"the weights of a query of {call.name!r} must sum to 1 at most, got {float(sums.max()):.4g}: are they "
            "scores, weights after dropout, or transposed?"
        )


def _calls(given: Given, *, crossing: bool) -> Sequence[SeenAttention]:
    kind: Literal["self", "cross"] = "cross" if crossing else "self"
    if isinstance(given, Seen):
        if not given:
            raise ValueError("seen must hold at least one attention, got none: was the model called in the capture?")
        return given
    if isinstance(given, Tensor | np.ndarray):
        weights = _float16(given)
        if not 2 <= weights.ndim <= 4:
            raise ValueError(
                "weights must be [q, k], [heads, q, k] or [layers, heads, q, k], got shape "
                f"{tuple(weights.shape)}; a batch is a list of [batch, heads, q, k], one a layer"
            )
        layers = weights.reshape((1,) * (4 - weights.ndim) + weights.shape)
        return [_call(number, layer[None], kind) for number, layer in enumerate(layers)]
    found = []
    for number, layer in enumerate(given):
        if not isinstance(layer, Tensor | np.ndarray) or layer.ndim != 4:
            got = "None" if layer is None else getattr(layer, "shape", type(layer).__name__)
            raise ValueError(f"weights of layer {number} must be [batch, heads, q, k], got {got}")
        found.append(_call(number, _float16(layer), kind))
    if not found:
        raise ValueError("weights must hold at least one layer, got none: was the model called with output_attentions?")
    return found


def _float16(weights: Any) -> Tensor:
    return torch.as_tensor(weights).detach().to("cpu", torch.float16)


def _call(number: int, weights: Tensor, kind: Literal["self", "cross"]) -> SeenAttention:
    heads = tuple(range(weights.shape[1]))
    return SeenAttention(
        name=f"layers.{number}", call=0, kind=kind, heads=heads, weights=weights, keys=weights.shape[-1]
    )
