"""Which tokens stand at the rows and columns of each attention, and how they look."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from attentio.capturing.record import SeenAttention
from attentio.pictures.labels import pretty, visible
from attentio.text.words import spans, word_starts, word_text

_SPECIAL = re.compile(r"<[^<>\s]+>|<\|[^<>\s]+\|>|\[[A-Z]+\]")
TokenLists = Sequence[str] | Sequence[Sequence[str]]


class Sides(NamedTuple):
    """Names of the lists of tokens at the queries and at the keys; query_from: the place of the first query's."""

    query: str
    query_from: int
    key: str


class Tokens:
    """The lists of tokens that a page shows: of the source, of the target, and of what a decoder read.

    Each has one list a sequence of the batch; shorter ones are filled up with None, for padding.
    """

    def __init__(self, **named: TokenLists | None) -> None:
        self.lists = {name: _batch(lists) for name, lists in named.items() if lists is not None}
        counts = {name: len(lists) for name, lists in self.lists.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"every kind of tokens must have one list a sequence of the batch, got {counts}")
        self.batch = next(iter(counts.values()))

    def of(self, call: SeenAttention, item: int) -> tuple[list[str | None], list[str | None]]:
        """The tokens at the queries and at the keys of a call, in one sequence of the batch; None for padding.

        Raises:
            ValueError: as `sides`.
        """
        sides = self.sides(call)
        queries, keys = (self.lists[name][min(item, self.batch - 1)] for name in (sides.query, sides.key))
        return queries[sides.query_from :][: call.weights.shape[2]], keys

    def length(self, name: str) -> int | None:
        return len(self.lists[name][0]) if name in self.lists else None

    def sides(self, call: SeenAttention) -> Sides:
        """Where the rows' and columns' tokens of a call are found.

        Raises:
            ValueError: no list is as long as the call needs.
        """
        queries = call.weights.shape[2]
        key = self._keys(call)
        if key is None:
            raise ValueError(self._mismatch(call, "key", call.keys))
        # Rows are named by the tokens they led to. In a generated text these are the last of the keys' tokens, too.
        as_target = call.kind == "cross" or key != "source" or queries < call.keys
        if as_target and self.length("target") == queries:
            return Sides("target", 0, key)
        if call.kind == "self" and call.q_start + queries <= call.keys:
            return Sides(key, call.q_start, key)
        if self.length("source") == queries:
            return Sides("source", 0, key)
        raise ValueError(self._mismatch(call, "query", queries))

    def _keys(self, call: SeenAttention) -> str | None:
        if call.kind == "cross":
            order = ["source"]
        elif "decoder" in call.name.split("."):
            order = ["decoder", "target", "source"]
        else:
            order = ["source", "decoder", "target"]
        return next((name for name in order if self.length(name) == call.keys), None)

    def _mismatch(self, call: SeenAttention, side: str, needed: int) -> str:
        there = ", ".join(f"{self.length(name)} {name} tokens" for name in self.lists)
        return f"there must be one token for each {side} of {call.name!r}, which has {needed}, got {there}"

    def json(self) -> dict[str, Any]:
        """Labels of the tokens; where each word begins, and the words' labels, of sub-words that make words."""
        return {name: [_shown(tokens) for tokens in lists] for name, lists in self.lists.items()}


def _batch(lists: TokenLists) -> list[list[str | None]]:
    if isinstance(lists, str):
        raise ValueError(f"tokens must be a list of tokens, got one text: {lists[:40]!r}")
    one = not lists or isinstance(lists[0], str)
    given: Any = [lists] if one else lists
    if not all(isinstance(each, Iterable) and all(isinstance(token, str) for token in each) for each in given):
        raise ValueError(f"tokens must be strings, or a list of strings for each sequence, got {given!r}"[:200])
    of_each: list[list[str | None]] = [list(each) for each in given]
    longest = max(map(len, of_each))
    return [each + [None] * (longest - len(each)) for each in of_each]


def _shown(tokens: Sequence[str | None]) -> dict[str, Any]:
    there = [token for token in tokens if token is not None]
    padding = [None] * (len(tokens) - len(there))
    words = spans(word_starts(there))
    texts = [_written([there[place] for place in word]) for word in words]
    sentence = " ".join(text for text in texts if not _SPECIAL.fullmatch(text))
    raw, labels = [*map(visible, there)], pretty(there)
    shown: dict[str, Any] = {"labels": [*labels, *padding], "sentence": sentence}
    if raw != labels:
        shown["raw"] = [*raw, *padding]
    if len(words) < len(there):
        shown["words"] = [[word.start, word.stop, text] for word, text in zip(words, texts, strict=True)]
        shown["words"] += [[place, place + 1, None] for place in range(len(there), len(tokens))]
    return shown


def _written(pieces: Sequence[str]) -> str:
    """A word without the marks of its pieces; white space as its sign."""
    return visible(word_text(pieces) or pieces[0])


def is_special(token: str) -> bool:
    """A sign of the model's own, as </s> and [CLS] are."""
    return bool(_SPECIAL.fullmatch(token))


def is_ordinary(token: str) -> bool:
    """One with a letter or a digit, and not of the model's own."""
    return not is_special(token) and any(map(str.isalnum, token))


def is_separator(token: str) -> bool:
    """A special token, or one of punctuation only."""
    text = word_text([token])
    return is_special(token) or (text != "" and all(unicodedata.category(letter)[0] == "P" for letter in text))


def layer_number(name: str) -> str:
    """The layers in an attention's name, counted from 1: 4 of `decoder.layers.3.attention`; 1 where there are none."""
    return ".".join(str(int(part) + 1) for part in name.split(".") if part.isdigit()) or "1"
