"""The fields of a request, checked one by one: what is wrong is said with the field's name."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from attentio.data.lines import check_text
from attentio.errors import AttentioError, did_you_mean

LONGEST_TEXT = 4_000
"""Characters. Attention grows with the square of them."""

NUMBERS_PER_TOKEN = 25
"""Numbers or tokens of an answer that are as much work to write as one token is to read for the model."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a request asks of a run.

    options: what a task's functions are given besides the text.
    together: whether several with the same options may be answered in one call of the model.
    stream: gives the answer piece by piece, where that is wanted.
    """

    text: str
    options: dict[str, Any] = field(default_factory=dict)
    together: bool = False
    stream: Callable[[], Iterator[dict[str, Any]]] | None = None


class Fields:
    """What a request says. Each method takes one field; `end` refuses what nobody took.

    All raise AttentioError for a field of another type, out of its range, or, without a default, missing.

    known: what was taken so far, each with its JSON schema. required: those of them without which nothing can be asked.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.left = dict(given)
        self.known: dict[str, dict[str, Any]] = {}
        self.required: list[str] = []

    def text(self, name: str, default: str | None = None, *, most: int = LONGEST_TEXT) -> str:
        """A text of at most so many characters; required without a default."""
        value = self._take(name, default, type="string", minLength=int(default is None), maxLength=most)
        if default is None:
            self.required.append(name)
        if not isinstance(value, str):
            raise AttentioError(f"{name} must be a text, got {_shown(value)}")
        if len(value) > most:
            raise AttentioError(f"{name} has {len(value)} characters, more than the limit of {most}")
        return value

    def checked_text(self, default: str | None = None) -> str:
        """The field `text`, as data are checked; nothing at all only where that is the default."""
        text = self.text("text", default)
        if text != default:
            check_text(text, "text", max_line_length=None)
        return text

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """A whole number in a range, both ends included."""
        value = self._take(name, default, type=_kind("integer", default), minimum=least, maximum=most)
        if value is None and default is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise AttentioError(f"{name} must be a whole number from {least} to {most}, got {_shown(value)}")
        return value

    def place(self, name: str, *, most: int) -> int:
        """A whole number from 0; required."""
        found = self.whole(name, None, least=0, most=most)
        self.known[name]["type"] = "integer"
        self.required.append(name)
        if found is None:
            raise AttentioError(f"{name} must be a whole number from 0 to {most}, got nothing")
        return found

    def choice(self, name: str, *choices: str) -> str:
        """One of these; required."""
        value = self._take(name, None, type="string", enum=[*choices])
        self.required.append(name)
        if value not in choices:
            raise AttentioError(f"{name} must be one of {', '.join(choices)}, got {_shown(value)}")
        return str(value)

    def number(self, name: str, default: float | None) -> float | None:
        """A finite number."""
        value = self._take(name, default, type=_kind("number", default))
        if value is None and default is None:
            return None
        try:
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        except OverflowError:  # a whole number of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            raise AttentioError(f"{name} must be a number, got {_shown(value)}")
        return number

    def flag(self, name: str) -> bool:
        """True or false, which it is when it is not there."""
        value = self._take(name, False, type="boolean")
        if not isinstance(value, bool):
            raise AttentioError(f"{name} must be true or false, got {_shown(value)}")
        return value

    def end(self) -> None:
        """Nothing else may be there."""
        for name in self.left:
            known = ", ".join(self.known)
            raise AttentioError(f"unknown field {_shown(name)}; known are {known}{did_you_mean(name, self.known)}")

    def _take(self, name: str, default: Any, **schema: Any) -> Any:
        self.known[name] = schema if default is None else {**schema, "default": default}
        return self.left.pop(name, default)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _kind(type: str, default: Any) -> str | list[str]:
    """Of JSON; what is nothing by default may also be said to be nothing."""
    return type if default is not None else [type, "null"]
