"""What the commands say, in the language of the person: the English that is in the code, or Korean.

Errors and notes come as finished English sentences, as people get them in Python. Here, at the door, a sentence is
found in the catalogue by its template, and what stood in the template's places is carried over.
"""

import gettext
import os
import re
from functools import cache, partial
from itertools import islice
from pathlib import Path

from attentio import system

_DOMAIN = "attentio"
_CATALOGUES = Path(__file__).parents[1] / "locale"

_PLACE = re.compile(r"\{(\d+)(?::(said|word))?\}")
"""Of a value; `said`: of a message, longer than a file's name; `word`: of one that may be a word alone."""

_LONGEST, _MOST_BEGINNINGS = 1000, 8
"""Characters of a clause, and files and keys that it begins with; more are none of ours, and would take long."""

_OF_OTHERS = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Exit|Interrupt): ")
"""Where an exception of Python or torch begins: its words are none of ours, though they may look like it."""

_Templates = tuple[tuple[list[str], str], ...]
"""The texts between the places of a template, and the template in the other language: whole messages, then those with
most text."""


def speak() -> None:
    """Choose the language, once: of this process, argparse's own words among them, and of those that it starts."""
    os.environ["LANGUAGE"] = system.language()
    gettext.bindtextdomain(_DOMAIN, str(_CATALOGUES))
    gettext.textdomain(_DOMAIN)


def said(text: str) -> str:
    """A text of ours in the language of `speak`; each of its clauses stays as it is where the catalogue lacks it."""
    templates = _templates(os.environ.get("LANGUAGE", "en"))
    if not templates:
        return text
    if "\n" in text and (whole := _clause(text, templates)) is not None:
        return whole
    told = ((clause, _clause(clause, templates)) for clause in text.split("; "))
    return "".join(f"{clause}; " if found is None else f"{found}. " for clause, found in told)[:-2]


@cache
def _templates(language: str) -> _Templates:
    catalogue = gettext.translation(_DOMAIN, _CATALOGUES, [language], fallback=True)
    messages: dict[str, str] = getattr(catalogue, "_catalog", {})  # gettext itself finds whole messages only
    found = ((_PLACE.sub("\0", message).split("\0"), other) for message, other in messages.items() if message)
    return tuple(sorted(found, key=lambda template: (len(template[0]) > 1, -sum(map(len, template[0])))))


def _clause(clause: str, templates: _Templates) -> str | None:
    """A clause, or what follows a file, a line or a key that it begins with; None where neither is in the catalogue."""
    if not clause:
        return ""
    if len(clause) > _LONGEST:
        return None
    if others := _OF_OTHERS.search(clause):
        return _before(clause[: others.start()], templates) + clause[others.start() :]
    starts = [0, *(colon.end() for colon in islice(re.finditer(": ", clause), _MOST_BEGINNINGS))]
    for between, other in templates:
        if not all(part in clause for part in between):  # which is quicker than an expression for each template
            continue
        # Of two places side by side, the first takes all: the second is for a hint, mostly a clause of its own.
        expression = "(.*?)".join(map(re.escape, between)).replace("(.*?)(.*?)", "(.*)(.*?)")
        for start in reversed(starts):
            if found := re.fullmatch(expression, clause[start:], re.DOTALL):
                value = partial(_value, found.groups(), start > 0)
                return _before(clause[:start], templates) + _PLACE.sub(value, other)
    return None


def _before(beginning: str, templates: _Templates) -> str:
    """What a clause begins with, to its ": ": a message that goes on with another, or a file, a line or a key."""
    place = beginning.removesuffix(": ")
    if " " not in place:
        return beginning
    told = _clause(beginning, templates)
    return told if told is not None else f"{_clause(place, templates) or place}: "


def _value(values: tuple[str, ...], behind: bool, place: re.Match[str]) -> str:
    """What stands in a place. behind: a beginning, so that a word alone is no file's name: FILE:LINE: source."""
    value = values[int(place[1])]
    return said(value) if place[2] == "word" or (place[2] and (behind or " " in value)) else value
