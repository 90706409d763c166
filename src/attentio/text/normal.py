"""One spelling for text that looks the same: no white space around it, and composed letters.

"é" can be one code point or a letter and an accent, "한" one or three: NFC, which keyboards write, against NFD, which
comes from file names and some tools. Most of what people train on is NFC, so that is what everything becomes.

Reference: Unicode Standard Annex 15, "Unicode Normalization Forms".
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from attentio.config.schema import Normalize

_OUTER = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + "\ufeff"
"""All white space that there is, and the byte order mark, which is as invisible where files were joined."""


def trimmed(text: str) -> str:
    """Without white space and byte order marks around it."""
    return text.strip(_OUTER)


def composed(text: str) -> str:
    """In Unicode's normal form C."""
    return unicodedata.normalize("NFC", text)


def normalized(text: str, how: Normalize) -> str:
    """The text as `text.normalize` has it read, in training and afterwards."""
    return composed(trimmed(text)) if how == "nfc" else text


def begun(text: str, read: Callable[[str], str]) -> str:
    """The beginning of a text as it is read, but for white space at its end, which more may follow."""
    found = read(text)
    return found if found in ("", text) else found + text[len(text.rstrip()) :]


def checked(texts: Sequence[Any]) -> Sequence[str]:
    """The texts that a caller gives.

    Raises:
        ValueError: it is one text, which would be taken letter by letter.
        TypeError: one of them is no text.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts must be a list of texts, got one text; write [{texts[:30]!r}]")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{place}] must be a text (str), got {type(text).__name__}")
    return texts


def checked_pairs(pairs: Sequence[Any]) -> Sequence[tuple[str, str]]:
    """The pairs of source and target that a caller gives; TypeError for what is none."""
    for place, pair in enumerate([pairs] if isinstance(pairs, str) else pairs):
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise TypeError(
                f"pairs must be a list of (source, target), two texts each, got {type(pair).__name__} {pair!r:.60} at "
                f"pairs[{place}]"
            )
    return pairs


class Normalizer:
    """Normalizes texts one by one, and counts those that needed it.

    trimmed: texts with white space around them. composed: texts with letters that are not composed. Both are counted
    where nothing is changed too.
    """

    def __init__(self, how: Normalize) -> None:
        self.how = how
        self.trimmed = self.composed = 0

    def __call__(self, text: str) -> str:
        """The text as it is read."""
        inner = trimmed(text)
        self.trimmed += inner != text
        self.composed += not unicodedata.is_normalized("NFC", inner)
        return normalized(text, self.how)
