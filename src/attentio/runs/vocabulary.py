"""What runs ask of a vocabulary: the special tokens it must have, what is never produced, what it does not know."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attentio.errors import AttentioError
from attentio.text.protocol import AnyTokenizer
from attentio.text.unknown import Unknown, unknown_in

HOLES = ("[MASK]", "<mask>")
"""What a person may write where a token is missing."""

_HOLE = re.compile(f"({'|'.join(map(re.escape, HOLES))})")


def needed(token: int | None, name: str, path: Path) -> int:
    """The id of a special token; AttentioError where the tokenizer of the run has none."""
    if token is None:
        raise AttentioError(f"{path}: the tokenizer has no {name} token, which this kind of model needs")
    return token


def identity(tokenizer: AnyTokenizer) -> tuple[Any, ...]:
    """What decides which ids a text becomes, and which text ids become."""
    roles = (tokenizer.begin, tokenizer.end, tokenizer.unknown, tokenizer.mask)
    own = (getattr(tokenizer, name, None) for name in ("jamo", "features"))
    return type(tokenizer), roles, *own, tokenizer.core.to_str()  # type: ignore[attr-defined]


def suppressed_ids(tokenizer: AnyTokenizer, vocabulary: int, *, but: int | None = None) -> list[int]:
    """Ids that are never produced: special ones, and rows that a model has beyond the tokenizer's entries.

    vocabulary: rows of the model. but: a special one that may be produced, such as the end.
    """
    return sorted({*tokenizer.special_ids, *range(tokenizer.size, vocabulary)} - {but})


def random_ids(tokenizer: AnyTokenizer, *, rows: int, length: int) -> Tensor:
    """Ordinary tokens, always the same ones: [rows, length]."""
    ordinary = torch.tensor(sorted(set(range(tokenizer.size)) - set(tokenizer.special_ids)))
    return ordinary[torch.randint(len(ordinary), (rows, length), generator=torch.Generator().manual_seed(0))]


def check_known(text: str, ids: Sequence[int], tokenizer: AnyTokenizer) -> None:
    """AttentioError for a text, encoded as `ids`, that holds something unknown."""
    if tokenizer.unknown is None or tokenizer.unknown not in ids:
        return
    found, start = [], 0
    for part in _HOLE.split(text):
        if part not in HOLES:
            found += [one._replace(place=one.place + start) for one in unknown_in(part, tokenizer)]
        start += len(part)
    first = found[0] if found else Unknown(text, 1, None)
    remedy = {None: "write something else there", "": "leave it out"}.get(first.known, f"it knows {first.shown}")
    more = f" (and {len(found) - 1} more there)" if len(found) > 1 else ""
    raise AttentioError(
        f"the model's vocabulary does not know {first.text!r} (character {first.place}); {remedy}{more}"
    )
