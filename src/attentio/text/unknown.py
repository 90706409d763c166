"""What of a text a vocabulary does not know: where it stands, and in which other form it would be known."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attentio.errors import AttentioError
from attentio.text.featured import FeaturedTokenizer
from attentio.text.features import parted
from attentio.text.protocol import AnyTokenizer

_LONGEST_LETTER = 4  # code points that one letter may be spelt with: a base and its marks, or three jamo


class Unknown(NamedTuple):
    """A character, or a word or piece, that becomes the unknown token.

    text: as it stands in the text. place: of its first character, from 1, in the text as the model reads it (see
    `text.normal`). known: another form of it that the vocabulary knows: in the other case, composed or decomposed, or
    "" where it is white space around the text; None where there is no such form.
    """

    text: str
    place: int
    known: str | None

    @property
    def shown(self) -> str:
        """The form that is known, with its code point where it looks the same on a screen, as a Hangul letter does."""
        if self.known and len(self.known) == 1 and self.known == unicodedata.normalize("NFKC", self.text):
            return f"{self.known!r} (U+{ord(self.known):04X})"
        return repr(self.known)


def unknown_in(text: str, tokenizer: AnyTokenizer) -> list[Unknown]:
    """What of the text becomes the unknown token, in order; with bytes to fall back on, nothing does."""
    return [
        Unknown(text[start:stop], start + 1, _known_form(text, start, stop, tokenizer))
        for start, stop in tokenizer.unknown_spans(text)
    ]


def told(unknown: Sequence[Unknown], where: str = "") -> str:
    """One line about what is unknown in a text, at least one thing. where: the text stands, such as "line 3"."""
    first, more = unknown[0], len(unknown) - 1
    hint = {None: "", "": "; leave it out"}.get(first.known, f"; it knows {first.shown}")
    place = f"{where}, character {first.place}" if where else f"character {first.place}"
    return f"{first.text!r} ({place}): the model does not know it{hint}" + (f" (and {more} more there)" if more else "")


def _known_form(text: str, start: int, stop: int, tokenizer: AnyTokenizer) -> str | None:
    piece = text[start:stop]
    if isinstance(tokenizer, FeaturedTokenizer):
        words = parted(text)[0]
        if start > len(words):
            return next((one for one in tokenizer.features if one.casefold() == piece.casefold()), None)
        text, tokenizer = words, tokenizer.plain
    if piece.isspace() and not (text[:start].strip() and text[stop:].strip()):
        return ""
    for form in _forms(text, start, stop):
        for candidate in (form, form.lower(), form.upper()):
            try:
                if not tokenizer.unknown_spans(candidate):
                    return candidate
            except AttentioError:  # a reserved symbol in another form
                continue
    return None


def _forms(text: str, start: int, stop: int) -> Iterator[str]:
    """The piece, and its normal forms; of a mark or a jamo, the letter that it makes with its neighbours."""
    piece = text[start:stop]
    yield piece
    for form in ("NFC", "NFD", "NFKC"):
        yield unicodedata.normalize(form, piece)
    for first in range(max(0, stop - _LONGEST_LETTER), start + 1):
        for last in range(min(len(text), start + _LONGEST_LETTER), stop - 1, -1):
            letter = unicodedata.normalize("NFC", text[first:last])
            if len(letter) == 1:
                yield letter
