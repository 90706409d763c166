"""How tokens look beside an attention matrix, and the check that they belong to it."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attentio.text.words import word_starts, word_text

Weights = Float[Tensor, "target source"] | Float[np.ndarray, "target source"]

_ALONE = ("▁", "Ġ")
"""Marks of a word's beginning, which stand alone where a word is not known as such."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PIECE = re.compile(r"^##|@@$")
_VISIBLE = {"": "∅", " ": "␣", "\u00a0": "␣", "\n": "↵", "\t": "→"}


def label(token: str) -> str:
    """A token as a person can read it.

    Spaces, line ends, control characters and the empty token become visible signs; a mark that combines
    with nothing stands on a dotted circle. Conjoining jamo (U+1100-11FF) are composed into syllables where
    they make one; a single one is shown as its compatibility letter (U+3131-318E), which fonts draw better
    and terminals give its proper width.
    """
    if token in _VISIBLE:
        return _VISIBLE[token]
    shown = "".join(_shown(character) for character in unicodedata.normalize("NFC", token))
    return f"◌{shown}" if unicodedata.combining(shown[0]) else shown


def visible(token: str) -> str:
    """The label of a token; one of invisible characters only (zero-width ones, other blanks) by their numbers."""
    shown = label(token)
    if all(unicodedata.category(character) in ("Cf", "Zs", "Zl", "Zp") for character in shown):
        return " ".join(f"U+{ord(character):04X}" for character in shown)
    return shown


def pretty(tokens: Sequence[str]) -> list[str]:
    """Labels without the marks of a tokenizer: `low` `·er` for ▁low er, Ġlow er, low ##er and low@@ er.

    A dot begins what goes on with a word; a mark alone is its space, ␣. Tokens of a list without marks are as they are.
    """
    if not is_marked(tokens):
        return [*map(visible, tokens)]
    after_mark = [False, *(token in _ALONE for token in tokens)]
    starts = (start or alone for start, alone in zip(word_starts(tokens), after_mark, strict=False))
    return [_pretty(token, start) for token, start in zip(tokens, starts, strict=True)]


def pretty_beside(token: str, tokens: Sequence[str]) -> str:
    """The label of another token that might stand among these."""
    before = "▁a" if any(each.startswith(_ALONE) for each in tokens) else "a"
    return pretty([before, token])[1]


def is_marked(tokens: Sequence[str]) -> bool:
    """Whether a tokenizer marked where words begin, or go on."""
    return any(token.startswith(_ALONE) or (len(token) > 2 and _PIECE.search(token)) for token in tokens)


def _pretty(token: str, start: bool) -> str:
    if token in _ALONE:
        return "␣"
    text = visible(word_text([token]) or token)
    return text if start else f"·{text}"


def drawable(text: str) -> str:
    """A text with visible signs for the characters that no picture in XML may hold."""
    return _NOT_XML.sub(lambda found: _shown(found[0]), text)


def _shown(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if "\u1100" <= character <= "\u11ff":
        # HANGUL CHOSEONG KIYEOK -> HANGUL LETTER KIYEOK. Some archaic jamo have no such letter.
        letter = "HANGUL LETTER " + unicodedata.name(character).split(" ", 2)[2]
        try:
            return unicodedata.lookup(letter)
        except KeyError:
            return character
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":  # which turn the text behind them round
        return f"U+{ord(character):04X}"
    if character < " ":
        return chr(0x2400 + ord(character))  # Unicode's control pictures
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") or _NOT_XML.match(character) else character


def checked_weights(
    weights: Weights, *, source_tokens: Sequence[str], target_tokens: Sequence[str]
) -> Float[np.ndarray, "target source"]:
    """The weights as a float array on the CPU, one row a target token and one column a source token.

    Raises:
        ValueError: the shape is not (target tokens, source tokens), or a weight is not from 0 to 1.
    """
    matrix = torch.as_tensor(weights).detach().float().cpu().numpy()
    expected = (len(target_tokens), len(source_tokens))
    if matrix.shape != expected:
        raise ValueError(f"weights must have shape (target tokens, source tokens) = {expected}, got {matrix.shape}")
    # Written so that NaN is refused too; sums of rounded weights may exceed 1 a little.
    if not np.all((matrix >= 0) & (matrix <= 1.001)):
        raise ValueError("weights must be attention weights from 0 to 1, not scores: some are outside or NaN")
    return matrix
