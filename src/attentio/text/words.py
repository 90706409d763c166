"""Pieces of words put together again, whatever tokenizer cut them."""

import re
from collections.abc import Sequence

_MARKS = "▁Ġ"
"""What SentencePiece and byte-level BPE write for the space before a word."""
_UNKNOWN = ("<unk>", "[UNK]")
_ALONE = re.compile(r"<[^<>\s]+>|\[[A-Z]+\]|[\sĊ]+")
"""Special tokens, and white space where it is a token. What is unknown is a piece like any other."""


def word_starts(tokens: Sequence[str]) -> list[bool]:
    """Where a word begins, for each token, as far as the tokens themselves tell; the first always begins one.

    | written | by | a word |
    |---|---|---|
    | ▁low er | SentencePiece | from one ▁ to the next |
    | Ġlow er | byte-level BPE | from one Ġ to the next |
    | low ##er | WordPiece | a token and those with ## after it |
    | low@@ er | subword-nmt | up to a token without @@ |
    | l o w | single characters, with a space among them | from one white space to the next |
    | low er | anything else | each token |

    Special tokens such as </s> and [CLS] are words of their own, and so is white space.
    """
    alone = [bool(_ALONE.fullmatch(token)) and token not in _UNKNOWN for token in tokens]
    ordinary = [token for token in tokens if not _ALONE.fullmatch(token)]
    if any(token.startswith(tuple(_MARKS)) for token in ordinary):
        starts = [token.startswith(tuple(_MARKS)) for token in tokens]
    elif any(len(token) > 2 and token.startswith("##") for token in ordinary):
        starts = [not (len(token) > 2 and token.startswith("##")) for token in tokens]
    elif any(len(token) > 2 and token.endswith("@@") for token in ordinary):
        starts = [True, *(not (len(token) > 2 and token.endswith("@@")) for token in tokens)][: len(tokens)]
    else:
        letters = any(token.isspace() for token in tokens) and all(len(token) == 1 for token in ordinary)
        starts = [not letters] * len(tokens)
    return [start or this or last for start, this, last in zip(starts, alone, [True, *alone], strict=False)]


def spans(starts: Sequence[bool]) -> list[range]:
    """The tokens of each word, by their places. starts: where a word begins, the first token always."""
    ends = [place for place, start in enumerate(starts) if start and place] + [len(starts)] * bool(starts)
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def word_text(pieces: Sequence[str]) -> str:
    """A word as a person writes it: its pieces without the marks of their tokenizer; "" for white space."""
    return "".join(piece.removeprefix("##").removesuffix("@@") if len(piece) > 2 else piece for piece in pieces).strip(
        _MARKS + " "
    )
