"""The whole step of a model, as data: what it computed before an attention and after it, for the page to show.

A run records it (`attentio.runs.walks`); the page adds the attention's own lines in between.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.pictures.labels import visible

logger = logging.getLogger(__name__)

WALK_NUMBERS = 2**20
"""Up to so many numbers of all walks together, in float32, go into a page."""


class Vector(NamedTuple):
    """A vector of each query.

    symbol: as the equation writes it. word: which thing it is, for its name in the page's strings.
    """

    symbol: str
    word: str
    numbers: Float[Tensor, "q features"]


class Stage(NamedTuple):
    """One line of the computation.

    name: of its words in the page's strings (assets/steps.en.json). vectors: what goes in, and last what comes out.
    """

    name: str
    code: str
    vectors: Sequence[Vector]


class Window(NamedTuple):
    """Where local attention looks.

    centre: p_t of each query. reach: D. keys: S. decay: what weights are multiplied by after the softmax; None in
    local-m.
    """

    centre: Float[Tensor, "q"]
    reach: int
    keys: int
    decay: Float[Tensor, "q k"] | None


class Comparison(NamedTuple):
    """What the weights of an attention with one head were computed from: `SeenAttention` has it in float16.

    vector: v of v . tanh(query + key). allowed: None for all. window: of local attention, which compares only the keys
    that are allowed. kind: own: of a function that only the model knows.
    """

    kind: Literal["dot", "additive", "location", "own"]
    query: Float[Tensor, "q d"]
    key: Float[Tensor, "k d2"]
    value: Float[Tensor, "k dv"]
    scores: Float[Tensor, "q k"]
    vector: Float[Tensor, "d"] | None = None
    allowed: Bool[Tensor, "q k"] | None = None
    window: Window | None = None


class Words(NamedTuple):
    """What may be said at each query: some tokens with their logits, and the logarithm of the sum of exp(logit) over
    the whole vocabulary, which has `size` tokens."""

    code: str
    tokens: Sequence[Sequence[tuple[str, float]]]
    log_sum: Sequence[float]
    size: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """The way of each query of one attention, from the token that was read to the token that is said.

    attention, call: which one it is, as `SeenAttention` names it. read: the token that each query had read.
    before, after: the lines around the attention. codes: of the attention's own, by project, compare, window,
    normalize, gaussian and aggregate, where they are not the general ones; project is shown where there is a code.
    comparison: None where the parts that were captured are shown.
    words: None where nothing is said after this attention.
    back: what the next query is given; a row for each query but the last. None where none waits for it.
    """

    attention: str
    call: int = 0
    read: Sequence[str]
    before: Sequence[Stage]
    after: Sequence[Stage]
    codes: Mapping[str, str] = field(default_factory=dict)
    comparison: Comparison | None = None
    words: Words | None = None
    back: Stage | None = None

    def tensors(self) -> list[Tensor]:
        """All of its numbers."""
        stages = [*self.before, *self.after, *([self.back] if self.back else [])]
        found = [vector.numbers for stage in stages for vector in stage.vectors]
        if self.comparison is not None:
            window = self.comparison.window
            all_of = [*self.comparison, *(window or ())]
            found += [each for each in all_of if isinstance(each, Tensor)]
        return found


class Packer:
    """Numbers as blobs of the page, each once, however many lines show them."""

    def __init__(self, blob: Callable[[np.ndarray], str]) -> None:
        self.blob = blob
        self.names: dict[Any, str] = {}

    def __call__(self, tensor: Tensor | None) -> str | None:
        if tensor is None:
            return None
        key = _identity(tensor)
        if key not in self.names:
            array = tensor.detach().cpu().float().numpy().astype("<f4")
            self.names[key] = self.blob(array)
        return self.names[key]


def within_limit(walks: Sequence[Walk]) -> bool:
    """Whether the numbers of all walks may go into a page; the log says so if they may not."""
    numbers = {_identity(each): each.numel() for walk in walks for each in walk.tensors()}
    if sum(numbers.values()) <= WALK_NUMBERS:
        return True
    logger.warning("the numbers around the attention are too many for a page and were left out")
    return False


def walk_json(walk: Walk, pack: Packer) -> dict[str, Any]:
    """A walk as the page reads it (assets/data.js), its numbers being names of blobs."""
    return {
        "read": [visible(token) for token in walk.read],
        "before": [_stage(stage, pack) for stage in walk.before],
        "after": [_stage(stage, pack) for stage in walk.after],
        "codes": dict(walk.codes),
        "comparison": None if walk.comparison is None else _comparison(walk.comparison, pack),
        "words": None if walk.words is None else _words(walk.words),
        "back": None if walk.back is None else _stage(walk.back, pack),
    }


def _identity(tensor: Tensor) -> tuple[Any, ...]:
    """The same for views of the same numbers."""
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _stage(stage: Stage, pack: Packer) -> dict[str, Any]:
    vectors = [
        {"symbol": each.symbol, "word": each.word, "blob": pack(each.numbers), "features": each.numbers.shape[-1]}
        for each in stage.vectors
    ]
    return {"name": stage.name, "code": stage.code, "vectors": vectors}


def _comparison(one: Comparison, pack: Packer) -> dict[str, Any]:
    names = ("query", "key", "value", "scores", "vector", "allowed")
    window = one.window
    return {name: pack(getattr(one, name)) for name in names} | {
        "kind": one.kind,
        "dimensions": {"query": one.query.shape[-1], "key": one.key.shape[-1], "value": one.value.shape[-1]},
        "window": window and window._asdict() | {"centre": pack(window.centre), "decay": pack(window.decay)},
    }


def _words(words: Words) -> dict[str, Any]:
    return words._asdict() | {
        "tokens": [[[visible(token), _exact(logit)] for token, logit in place] for place in words.tokens],
        "log_sum": [_exact(each) for each in words.log_sum],
    }


def _exact(number: float) -> float:
    """All digits of a float32, and no more."""
    return float(f"{number:.9g}")
