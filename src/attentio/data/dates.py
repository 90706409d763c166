"""Dates as people write them in fourteen locales -> ISO 8601: "2026년 3월 14일 토요일" -> "2026-03-14".

The source is written by the Unicode CLDR's patterns for the language (through Babel), in formats that leave
no doubt about day, month and year: all four digits of the year, and no order of day and month that another
country would read the other way round. The days are those of 1900 to 2099; test and dev hold out whole days.
"""

import datetime
import hashlib
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from attentio.errors import extra

# How often a language is drawn, relative to the others.
LANGUAGES = {
    "en_US": 3, "en_GB": 3, "ko_KR": 3, "ja_JP": 1, "zh_CN": 1, "de_DE": 1, "fr_FR": 1, "es_ES": 1,
    "it_IT": 1, "pt_BR": 1, "nl_NL": 1, "sv_SE": 1, "pl_PL": 1, "ru_RU": 1,
}  # fmt: skip
_SIZES = {"train": 20_000, "dev": 1_000, "test": 1_000}
# CLDR's names for patterns that name the month and carry year, day, and perhaps the day of the week.
_SKELETONS = ("yMMMd", "yMMMEd", "yMMMEEEEd", "yMMMMd", "yMMMMEd", "yMMMMEEEEd")


def pairs(split: str, *, size: int | None = None, seed: int = 0) -> list[tuple[str, str]]:
    """Dates drawn at random, with repetition, from the days of one part.

    With h = SHA-256 of the ISO date, mod 100, dev has the days with h in 0-9, test those in 10-19, train the
    rest: a day of test or dev never occurs in train, in any language or format.

    Args:
        split: the part.
        size: number of pairs; by default 20,000 for train and 1,000 for dev and test.
        seed: another seed draws other examples.
    """
    return [
        (pattern.apply(day, _locale(language)), day.isoformat())
        for language, pattern, day in _drawn(split, size=size, seed=seed)
    ]


def locales(split: str) -> list[tuple[str, str]]:
    """The same dates, each with the locale that it is written for: "2026년 3월 14일 토요일" -> "ko_KR"."""
    return [(pattern.apply(day, _locale(language)), language) for language, pattern, day in _drawn(split)]


def parts(split: str) -> list[tuple[str, str]]:
    """The same dates, each with what its words are: "14 March 2026" -> "day month year", others being "other".

    A word with several parts has them all: "2026年3月14日" -> "year-month-day".
    """
    found = []
    for language, pattern, day in _drawn(split):
        written = _Marked(day, _locale(language))
        text = pattern.format % written
        labels = ["-".join(_PARTS[mark] for mark in word if mark in _PARTS) or "other" for word in text.split()]
        found.append((text.translate(dict.fromkeys(map(ord, _PARTS))), " ".join(labels)))
    return found


_PARTS = {"\ue000": "year", "\ue001": "month", "\ue002": "day", "\ue003": "weekday"}
"""Of private use, put before the parts of a date while it is written."""


class _Marked:
    """What CLDR's patterns take a date's parts from, each with its mark."""

    def __init__(self, day: datetime.date, locale: Any) -> None:
        from babel.dates import DateTimeFormat

        self.written = DateTimeFormat(day, locale)

    def __getitem__(self, field: str) -> str:
        kind = {"y": "year", "M": "month", "L": "month", "d": "day", "E": "weekday", "c": "weekday"}.get(field[0])
        mark = next((mark for mark, part in _PARTS.items() if part == kind), "")
        return mark + str(self.written[field])


def _drawn(split: str, *, size: int | None = None, seed: int = 0) -> Iterator[tuple[str, Any, datetime.date]]:
    """Locales, patterns and days."""
    if split not in _SIZES:
        raise ValueError(f"split must be train, dev or test, got {split!r}")
    draw = random.Random(f"{split} {seed}")
    days = _days()[split]
    languages = draw.choices(
        list(LANGUAGES), weights=list(LANGUAGES.values()), k=_SIZES[split] if size is None else size
    )
    for language in languages:
        day = draw.choice(days)
        yield language, draw.choice(formats(language)), day


@cache
def formats(language: str) -> list[Any]:
    """The different date patterns of a language, each with a method `apply(date, locale)`."""
    locale = _locale(language)
    patterns = [locale.date_formats[width] for width in ("medium", "long", "full")]
    patterns += [locale.datetime_skeletons[name] for name in _SKELETONS if name in locale.datetime_skeletons]
    return list({pattern.pattern: pattern for pattern in patterns}.values())


@cache
def _locale(language: str) -> Any:
    with extra("train"):
        from babel import Locale
    return Locale.parse(language)


@cache
def _days() -> dict[str, list[datetime.date]]:
    days: dict[str, list[datetime.date]] = {split: [] for split in _SIZES}
    first, last = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = datetime.date.fromordinal(ordinal)
        bucket = int.from_bytes(hashlib.sha256(day.isoformat().encode()).digest()) % 100
        days["dev" if bucket < 10 else "test" if bucket < 20 else "train"].append(day)
    return days
