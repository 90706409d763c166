"""Weights that do not change for a while, and what is made of them meanwhile."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LOOPS = "loops"
_made: ContextVar[dict[Hashable, Any] | None] = ContextVar("made", default=None)


@contextmanager
def unchanging_weights(*, loops: bool = False) -> Iterator[None]:
    """Inside, no weight changes and no layer is replaced, so every layer may prepare its weights once and use them
    again.

    It pays for many products with few rows, as in decoding. What was prepared is forgotten at the end of the
    outermost of these, whose `loops` holds for all.

    loops: decoding may go over to compiled loops after a while (`layers/loops.py`). Not in training: they round
        otherwise, and its numbers must not depend on how long a process has run.
    """
    outer = _made.get()
    token = _made.set({LOOPS: loops} if outer is None else outer)
    try:
        yield
    finally:
        _made.reset(token)


def made_of_weights() -> dict[Hashable, Any] | None:
    """Where a layer keeps what it has prepared, under a key that holds the layer; None outside."""
    return _made.get()
