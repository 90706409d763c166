"""Hangul syllables as conjoining jamo, the letters that Unicode spells a syllable with, and back.

A syllable (U+AC00 to U+D7A3) is an initial consonant, a vowel and perhaps a final consonant: 11,172 syllables
are 67 jamo, a small alphabet for a character model of Korean. Nothing else changes: combining accents,
compatibility jamo (U+3131 ...) and old Hangul pass through both ways.

Reference: The Unicode Standard, section 3.12, "Conjoining Jamo Behavior".
"""

import re
import unicodedata

_SYLLABLES = re.compile("[\uac00-\ud7a3]+")
_CONJOINING = re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")


def decompose(text: str) -> str:
    """Every Hangul syllable as its two or three conjoining jamo; jamo that stand in the text already stay."""
    return _SYLLABLES.sub(lambda syllables: unicodedata.normalize("NFD", syllables[0]), text)


def recompose(text: str) -> str:
    """Every initial consonant and vowel, with the final consonant if there is one, as one syllable.

    The inverse of `decompose` for text in NFC: `recompose(decompose(text)) == text`. Text that holds
    syllables in decomposed form already (NFD) comes back with its Hangul in NFC. Jamo that make no syllable
    stay.
    """
    return _CONJOINING.sub(lambda jamo: unicodedata.normalize("NFC", jamo[0]), text)


def may_grow(letter: str) -> bool:
    """Whether a jamo after it could join it: an initial consonant, or a syllable without a final consonant."""
    return "\u1100" <= letter <= "\u1112" or ("가" <= letter <= "힣" and (ord(letter) - ord("가")) % 28 == 0)
