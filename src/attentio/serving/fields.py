"""The fields of a request, checked one by one: what is wrong is said with the field's name."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

from attentio.errors import AttentioError

LONGEST_TEXT = 4_000
"""Characters. Attention grows with the square of them."""


class Fields:
    """What a request says. Each method takes one field; `end` refuses what nobody took.

    All raise AttentioError for a field of another type, out of its range, or, without a default, missing.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.left = dict(given)
        self.known: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """A text of at most `LONGEST_TEXT` characters; required without a default."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise AttentioError(f"{name} must be a text, got {_shown(value)}")
        if len(value) > LONGEST_TEXT:
            raise AttentioError(f"{name} has {len(value)} characters, more than the limit of {LONGEST_TEXT}")
        return value

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """A whole number in a range, both ends included."""
        value = self._take(name, default)
        if value is None and default is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise AttentioError(f"{name} must be a whole number from {least} to {most}, got {_shown(value)}")
        return value

    def number(self, name: str, default: float | None) -> float | None:
        """A finite number."""
        value = self._take(name, default)
        if value is None and default is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise AttentioError(f"{name} must be a number, got {_shown(value)}")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false, which it is when it is not there."""
        value = self._take(name, False)
        if not isinstance(value, bool):
            raise AttentioError(f"{name} must be true or false, got {_shown(value)}")
        return value

    def end(self) -> None:
        """Nothing else may be there."""
        for name in self.left:
            near = difflib.get_close_matches(name, self.known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise AttentioError(f"unknown field {_shown(name)}: {hint}known are {', '.join(self.known)}")

    def _take(self, name: str, default: Any) -> Any:
        self.known.append(name)
        return self.left.pop(name, default)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
