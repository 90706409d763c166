"""What the runs of language models have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from attentio.errors import AttentioError
from attentio.text.pretrained import PretrainedTokenizer
from attentio.text.tokenizer import Tokenizer

HOLES = ("[MASK]", "<mask>")
"""What a person may write where a token is missing."""

VERBS = {"encoder-decoder": "translate", "masked-lm": "fill", "causal-lm": "generate"}
"""What each kind of model is for."""

AnyTokenizer = Tokenizer | PretrainedTokenizer


class SelfAttention(NamedTuple):
    """Who looks at whom in a text: [layers, heads, tokens that look, tokens that are looked at]."""

    tokens: list[str]
    weights: Float[Tensor, "layers heads length length"]


def needed(token: int | None, name: str, path: Path) -> int:
    """The id of a special token; AttentioError where the tokenizer of the run has none."""
    if token is None:
        raise AttentioError(f"{path}: the tokenizer has no {name} token, which this kind of model needs")
    return token


def never_said(tokenizer: AnyTokenizer, vocabulary: int, *, but: int | None = None) -> list[int]:
    """Ids that stand for no text: special ones, and rows that a model has beyond the tokenizer's entries.

    vocabulary: rows of the model. but: a special one that may be said, such as the end.
    """
    return sorted({*tokenizer.special_ids, *range(tokenizer.size, vocabulary)} - {but})


def check_known(text: str, ids: Sequence[int], tokenizer: AnyTokenizer) -> None:
    """AttentioError for a text, encoded as `ids`, that holds something unknown."""
    if tokenizer.unknown is None or tokenizer.unknown not in ids:
        return
    for hole in HOLES:
        text = text.replace(hole, " ")
    parts = [*text.split(), *text]
    unknown = next((part for part in parts if tokenizer.unknown in tokenizer.encode(part)), text)
    raise AttentioError(f"the model's vocabulary does not know {unknown!r}; write something else there")
