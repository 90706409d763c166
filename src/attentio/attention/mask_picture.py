"""Masks as pictures in plain text."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from attentio.attention.mask import Mask

_SHOWN_POSITIONS = 16
_SHOWN_PICTURES = 3


def draw(mask: "Mask") -> str:
    """A picture a sequence (and head): a line a query, ■ where it may attend, · where not."""
    q_len, k_len = mask.natural_size()
    q_len, k_len = q_len or k_len or 6, k_len or q_len or 6
    allowed = mask.materialize(q_len, k_len)
    allowed = allowed.expand(*allowed.shape[:-2], q_len, k_len)
    lines = [f"{mask!r}: {q_len} queries (down), {k_len} keys (across), ■ = may attend"]
    places = list(torch.cartesian_prod(*map(torch.arange, allowed.shape[:-2]))) if allowed.ndim > 2 else []
    for place in places[:_SHOWN_PICTURES] or [None]:
        index = () if place is None else tuple(place.reshape(-1).tolist())
        if index:
            lines.append(", ".join(f"{axis} {i}" for axis, i in zip(("sequence", "head"), index, strict=False)))
        for row in allowed[index][:_SHOWN_POSITIONS, :_SHOWN_POSITIONS].tolist():
            lines.append(" ".join("■" if may else "·" for may in row) + (" …" if k_len > len(row) else ""))
        if q_len > _SHOWN_POSITIONS:
            lines.append("⋮")
    if len(places) > _SHOWN_PICTURES:
        lines.append(f"and {len(places) - _SHOWN_PICTURES} more")
    return "\n".join(lines)
