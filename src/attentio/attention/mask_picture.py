"""Masks as pictures in plain text."""

from collections.abc import Sequence
from math import prod

from jaxtyping import Bool
from torch import Tensor

from attentio.notebook import AXES, GRIDS, matrices

SHOWN_POSITIONS = 16


def draw(title: str, size: Sequence[int], corner: Bool[Tensor, "... _ _"]) -> str:
    """A picture for each sequence (and head): a line for each query, ■ where it may attend, · where not.

    size: queries and keys of the mask; corner: of the first of them.
    """
    q_len, k_len = size
    lines = [f"{title}: {q_len} queries (down), {k_len} keys (across), ■ = may attend"]
    for name, place in matrices(corner.shape[:-2], AXES):
        lines += [name] if name else []
        for row in corner[place].tolist():
            lines.append(" ".join("■" if may else "·" for may in row) + (" …" if k_len > len(row) else ""))
        lines += ["⋮"] if q_len > SHOWN_POSITIONS else []
    count = prod(corner.shape[:-2])
    return "\n".join([*lines, f"and {count - GRIDS} more"] if count > GRIDS else lines)
