"""What a search draws a key from: numbers, written LOW..HIGH or LOW..HIGH log, or choices, written A,B,C.

Light to import.
"""

import re
from typing import Any, NamedTuple

from attentio.errors import AttentioError

_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})( +log)?")


class Numbers(NamedTuple):
    """From `low` to `high`, both included; whole ones where both are written so. log: as likely in each decade."""

    low: float
    high: float
    log: bool

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that tell whether all in between are allowed."""
        return self.low, self.high


class Choices(NamedTuple):
    """One of these, as they are written."""

    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


Range = Numbers | Choices


def range_of(key: str, written: Any) -> Range:
    """What is written of a key, in a text or in YAML's list of choices; AttentioError for anything else."""
    if isinstance(written, list):
        values = [
            str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
            for value in written
        ]
    else:
        text = str(written).strip()
        if found := _RANGE.fullmatch(text):
            return _numbers(key, *found.groups())
        values = [value.strip() for value in text.removeprefix("[").removesuffix("]").split(",")]
    if len({*values}) < max(2, len(values)) or "" in values:
        raise AttentioError(
            f"--search {key}: write LOW..HIGH, LOW..HIGH log or two choices or more, such as 1e-4..1e-2 log or lstm,gru"
        )
    return Choices(tuple(values))


def _numbers(key: str, first: str, last: str, log: str | None) -> Numbers:
    whole = first.lstrip("+-").isdigit() and last.lstrip("+-").isdigit()
    low, high = (int(first), int(last)) if whole else (float(first), float(last))
    if not low < high:
        raise AttentioError(f"--search {key}: the first number must be below the second, got {first}..{last}")
    if log and low <= 0:
        raise AttentioError(f"--search {key}: the numbers of a log range must be above 0, got {first}..{last}")
    return Numbers(low, high, log is not None)
