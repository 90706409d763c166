"""What a page reads: the captured attention as groups of layers, its tokens, and its numbers as packed text."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attentio.inspection.labels import label
from attentio.inspection.page.numbers import half_codes, packed


class Payload(NamedTuple):
    """head: all but the numbers, as JSON without `<`. blobs: packed numbers by the id that head names."""

    head: str
    blobs: dict[str, str]


def build(
    calls: Sequence[Any],
    tokens: Sequence[str],
    target_tokens: Sequence[str] | None,
    *,
    title: str,
    strings: Mapping[str, Mapping[str, str]],
    language: str | None,
) -> Payload:
    """The payload of a page about these calls."""
    blobs: dict[str, str] = {}

    def blob(array: np.ndarray) -> str:
        name = f"b{len(blobs)}"
        blobs[name] = packed(array)
        return name

    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for call in calls:
        pattern, layer = split_name(call.name)
        queries, keys = call.weights.shape[2], call.keys
        key = (pattern, call.kind, call.call, queries, keys, call.q_start)
        group = groups.setdefault(
            key,
            {
                "name": pattern,
                "kind": call.kind,
                "call": call.call,
                "queries": queries,
                "keys": keys,
                "queryStart": call.q_start,
                "queryTokens": "source" if target_tokens is None else "target",
                "keyTokens": "source" if call.kind == "cross" or target_tokens is None else "target",
                "entries": [],
            },
        )
        group["entries"].append(
            {
                "name": call.name,
                "layer": layer or str(len(group["entries"])),
                "heads": list(call.heads),
                "codes": "half",
                "weights": [[blob(half_codes(head.numpy())) for head in item] for item in call.weights],
                "parts": _parts(call, blob),
            }
        )
    head = {
        "title": title,
        "language": language,
        "notes": [],
        "items": max((call.weights.shape[0] for call in calls), default=0),
        "groups": list(groups.values()),
        "tokens": {
            "source": [[label(token) for token in tokens]],
            "target": [[label(token) for token in target_tokens or ()]],
        },
        "alternatives": None,
        "strings": strings,
    }
    return Payload(json.dumps(head, ensure_ascii=False).replace("<", "\\u003c"), blobs)


def split_name(name: str) -> tuple[str, str]:
    """`decoder.layers.3.cross_attention` is `decoder.layers.*.cross_attention` and `3`."""
    numbers = re.findall(r"(?<![^.])\d+(?![^.])", name)
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name), ".".join(numbers)


def _parts(call: Any, blob: Any) -> dict[str, Any] | None:
    """What the weights were computed from, by item and head; None where it was not captured."""
    if call.query is None or call.scores is None:
        return None
    batch, heads = call.weights.shape[:2]
    allowed = None if call.allowed is None else call.allowed.expand(call.scores.shape)

    def each(tensor: Tensor, kind: type) -> list[list[str]]:
        return [[blob(tensor[b, h].numpy().astype(kind)) for h in range(heads)] for b in range(batch)]

    return {
        "scale": call.scale,
        "query": each(call.query, np.float16),
        "key": each(call.key, np.float16),
        "value": each(call.value, np.float16),
        "scores": each(call.scores, np.float16),
        "allowed": None if allowed is None else each(allowed, np.uint8),
        "dimensions": {"query": call.query.shape[-1], "value": call.value.shape[-1]},
    }


class Call(NamedTuple):  # until seen.py is there
    name: str
    weights: Tensor
    kind: str
    heads: tuple[int, ...]
    keys: int
    call: int = 0
    indices: Tensor | None = None
    q_start: int = 0
    query: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None
    scores: Tensor | None = None
    allowed: Tensor | None = None
    scale: float | None = None


def calls_of(weights: Tensor, *, cross: bool) -> list[Call]:
    """A bare tensor [q, k], [heads, q, k] or [layers, heads, q, k] as captured calls of one sequence."""
    layers = torch.as_tensor(weights).detach().half().cpu()
    layers = layers.reshape((1,) * (4 - layers.ndim) + layers.shape)
    return [
        Call(
            name=f"layers.{number}",
            weights=layer[None],
            kind="cross" if cross else "self",
            heads=tuple(range(layer.shape[0])),
            keys=layer.shape[-1],
        )
        for number, layer in enumerate(layers)
    ]
