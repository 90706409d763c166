"""Captured attention with all its parts, made by hand, for the views that show the parts."""

from typing import Any

import torch
from torch import Tensor

from attentio.capturing.record import SeenAttention, SelfOrCross


def attention(
    *, name: str = "layers.0.attention", kind: SelfOrCross = "self", query: Tensor, key: Tensor, value: Tensor,
    allowed: Tensor | None = None, bias: Tensor | None = None,
) -> SeenAttention:  # fmt: skip
    """softmax(query . key / sqrt(d) + bias, over allowed) of [batch, heads, n, d] tensors, as capture stores it."""
    scale = query.shape[-1] ** -0.5
    scores = query @ key.transpose(-1, -2) * scale + (0.0 if bias is None else bias)
    masked = scores if allowed is None else scores.masked_fill(~allowed, float("-inf"))
    return SeenAttention(
        name=name,
        call=0,
        kind=kind,
        heads=tuple(range(query.shape[1])),
        weights=masked.softmax(-1).nan_to_num(0).half(),
        keys=key.shape[2],
        query=query.half(),
        key=key.half(),
        value=value.half(),
        scores=scores.half(),
        allowed=allowed,
        scale=scale,
    )


def drawn(*, heads: int = 2, queries: int, keys: int, features: int = 13, value_features: int = 5) -> dict[str, Tensor]:
    """Random query, key and value for `attention`."""
    return {
        "query": torch.randn(1, heads, queries, features),
        "key": torch.randn(1, heads, keys, features),
        "value": torch.randn(1, heads, keys, value_features),
    }


def read_number(text: str) -> float:
    """A number as the page writes it: −12.3, 4.56×10⁻⁷, −∞, padded with spaces of a digit's width."""
    text = text.strip().replace("−", "-").replace("∞", "inf")
    if "×10" in text:
        digits, power = text.split("×10")
        return float(f"{digits}e{power.translate(str.maketrans('⁰¹²³⁴⁵⁶⁷⁸⁹⁻', '0123456789-'))}")
    return float(text)


def settled(tab: Any) -> None:
    """Wait until what was changed has been drawn: in the next frame, or in the one after a change of size."""
    tab.evaluate(
        "new Promise(done => { let frames = 4; (function next() {"
        " frames-- ? requestAnimationFrame(next) : done(); })(); })"
    )
