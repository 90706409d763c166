"""Weights prepared once for many steps of decoding."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

Prepared = TypeVar("Prepared")


class PackedWeights:
    """Weights in the order that products of few rows read fastest, each packed when it is first used.

    Who decodes makes one and hands it to `start`; the decoder's state carries it from step to step. It holds copies:
    once a weight has changed, make a new one.
    """

    def __init__(self) -> None:
        self._prepared: dict[Hashable, Any] = {}

    def get(self, key: Hashable, prepare: Callable[[], Prepared]) -> Prepared:
        """What `prepare` made when this key, which holds the module that it is of, was asked for first."""
        if key not in self._prepared:
            self._prepared[key] = prepare()
        return cast(Prepared, self._prepared[key])
