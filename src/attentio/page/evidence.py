"""What a run's model tells of its output besides its attention, as data for the page to show.

A run records it (`attentio.runs.inspected`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attentio.capturing.record import SeenAttention
from attentio.page.numbers import half
from attentio.page.tokens import Tokens
from attentio.pictures.labels import pretty, pretty_beside

Blob = Callable[[np.ndarray], str]


class Copied(NamedTuple):
    """Of a token said by a model that copies.

    share: 1 - g, the probability that this step copies, whatever it says.
    places: tokens of the source that are the token said, each with the probability that it was copied from there.
    """

    share: float
    places: Sequence[tuple[int, float]]


class WithoutHead(NamedTuple):
    """The output of a model one of whose heads was erased.

    attention: its name. head: from 0.
    log_probs: log p (natural) of each token said, given those before it.
    instead: places at which another token than with all heads would be the likeliest, and that one.
    """

    attention: str
    head: int
    log_probs: Float[Tensor, "said"]
    instead: Sequence[tuple[int, str]]


class WithoutHeads(NamedTuple):
    """What was said, its log p (natural) with all heads, and without each, the most important head first."""

    said: Sequence[str]
    log_probs: Float[Tensor, "said"]
    heads: Sequence[WithoutHead]


class Lens(NamedTuple):
    """What each layer of a Transformer would say if it were the last.

    read: the token at each place. said: what was said there.
    best: of each layer, at each place, the likeliest tokens with their probability.
    chances: the probability of what was said.
    """

    read: Sequence[str]
    said: Sequence[str]
    best: Sequence[Sequence[Sequence[tuple[str, float]]]]
    chances: Float[Tensor, "layers places"]


Missing = Literal["notes.heads", "notes.long", "notes.latent", "notes.lens"]
"""What could not be computed, by the page's string that says why."""


class Doubt(NamedTuple):
    """Why an output may be wrong: the page's string that says it, and what stands in it."""

    key: Literal["notes.cut", "notes.unknown", "notes.unknownForm", "notes.unknownMore"]
    values: Mapping[str, str | int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What else is known of an output; None for what is not.

    copied: of each target token, of a model that copies.
    erased: what the probability of each target token loses without each source token.
    heads: the output without each head.
    gradients: weight times gradient by an attention's name and call.
    lens: the output layer by layer.
    missing: what could not be computed.
    doubts: why the output may be wrong.
    """

    copied: Sequence[Copied] | None = None
    erased: Float[Tensor, "target source"] | None = None
    heads: WithoutHeads | None = None
    gradients: Mapping[tuple[str, int], Float[Tensor, "heads q k"]] = field(default_factory=dict)
    lens: Lens | None = None
    missing: Sequence[Missing] = ()
    doubts: Sequence[Doubt] = ()


NOTHING = Evidence()

LEAST = -1000.0  # stands for log 0, which JSON has no number for


def evidence_json(evidence: Evidence, tokens: Tokens, blob: Blob) -> dict[str, Any]:
    """As the page reads it.

    Raises:
        ValueError: it is not of these tokens.
    """
    return {
        "copied": _copied(evidence.copied, tokens),
        "erased": _erased(evidence.erased, tokens, blob),
        "withoutHeads": None if evidence.heads is None else _without_heads(evidence.heads, blob),
        "lens": None if evidence.lens is None else _lens(evidence.lens, blob),
    }


def gradient_blobs(evidence: Evidence, call: SeenAttention, blob: Blob) -> list[str] | None:
    """Of each head, what is above 0, each row as parts of its largest; None where it is not known.

    Raises:
        ValueError: it is not of these weights.
    """
    found = evidence.gradients.get((call.name, call.call))
    if found is None:
        return None
    size = (*call.weights.shape[1:3], call.keys)
    if tuple(found.shape) != size:
        raise ValueError(f"gradients of {call.name!r} must be [heads, q, k] = {size}, got {tuple(found.shape)}")
    lost = found.nan_to_num(0.0).clamp(min=0)
    return [blob(half(head)) for head in lost / lost.amax(-1, keepdim=True).clamp(min=1e-30)]


def _copied(copied: Sequence[Copied] | None, tokens: Tokens) -> list[dict[str, Any]] | None:
    if copied is None:
        return None
    if len(copied) != tokens.length("target"):
        raise ValueError(f"copied must be of each of {tokens.length('target')} target tokens, got {len(copied)}")
    return [
        {"share": round(one.share, 6), "places": [[place, round(chance, 6)] for place, chance in one.places]}
        for one in copied
    ]


def _erased(erased: Tensor | None, tokens: Tokens, blob: Blob) -> dict[str, Any] | None:
    if erased is None:
        return None
    size = tokens.length("target"), tokens.length("source")
    if tuple(erased.shape) != size:
        raise ValueError(f"erased must be [target, source] = {size}, got {tuple(erased.shape)}")
    return {"blob": blob(half(erased)), "rows": size[0], "columns": size[1]}


def _without_heads(found: WithoutHeads, blob: Blob) -> dict[str, Any]:
    log_probs = torch.stack([found.log_probs, *(one.log_probs for one in found.heads)]).clamp(min=LEAST)
    return {
        "said": pretty(found.said),
        "logProbs": blob(log_probs.float().numpy().astype("<f4")),
        "heads": [
            {
                "name": one.attention,
                "head": one.head + 1,
                "instead": [[place, pretty_beside(token, found.said)] for place, token in one.instead],
            }
            for one in found.heads
        ],
    }


def _lens(lens: Lens, blob: Blob) -> dict[str, Any]:
    tokens = {token for layer in lens.best for place in layer for token, _ in place}
    labels = {token: pretty_beside(token, lens.said) for token in tokens}
    best = [[[[labels[token], round(chance, 4)] for token, chance in place] for place in layer] for layer in lens.best]
    chances = blob(lens.chances.float().numpy().astype("<f4"))
    return {"read": pretty(lens.read), "said": pretty(lens.said), "best": best, "chances": chances}
