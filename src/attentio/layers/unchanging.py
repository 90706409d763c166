"""Weights that do not change for a while, and what is made of them meanwhile."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_made: ContextVar[dict[Hashable, Any] | None] = ContextVar("made", default=None)


@contextmanager
def unchanging_weights() -> Iterator[None]:
    """Inside, no weight changes and no layer is replaced, so every layer may prepare its weights once and use them
    again.

    It pays for many products with few rows, as in decoding. What was prepared is forgotten at the end of the
    outermost of these.
    """
    outer = _made.get()
    token = _made.set({} if outer is None else outer)
    try:
        yield
    finally:
        _made.reset(token)


def made_of_weights() -> dict[Hashable, Any] | None:
    """Where a layer keeps what it has prepared, under a key that holds the layer; None outside."""
    return _made.get()
