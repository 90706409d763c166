"""The reserved ids of a vocabulary and the symbols that show them."""

import re

PAD, UNK, BOS, EOS = 0, 1, 2, 3
MASK = 4  # only where the tokenizer was trained with it; an ordinary token otherwise
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
MASK_TOKEN = "<mask>"

_RESERVED = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
_RESERVED_OR_MASK = re.compile("|".join(map(re.escape, (*SPECIAL_TOKENS, MASK_TOKEN))))


def find_reserved(text: str, *, mask: bool = False) -> str | None:
    """The first reserved symbol that occurs in the text, None if there is none.

    Those are `SPECIAL_TOKENS`, and with `mask` also `MASK_TOKEN`.
    """
    found = (_RESERVED_OR_MASK if mask else _RESERVED).search(text)
    return found[0] if found else None
