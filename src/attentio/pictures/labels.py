"""How tokens look beside an attention matrix, and the check that they belong to it."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Weights = Float[Tensor, "target source"] | Float[np.ndarray, "target source"]

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
    if character < " ":
        return chr(0x2400 + ord(character))  # Unicode's control pictures
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character


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
