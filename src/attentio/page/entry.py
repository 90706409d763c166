"""The numbers of one layer on a page: its weights, packed by item and head, and what they were computed from."""

from typing import Any

import numpy as np
from torch import Tensor

from attentio.capturing.record import SeenAttention
from attentio.page.evidence import Blob
from attentio.page.numbers import (
    MASKED,
    NEXT_TO_NOTHING,
    THUMB,
    Kept,
    codes_of,
    half,
    kept,
    largest,
    thumb,
    thumb_of_kept,
)
from attentio.page.plan import Plan


def numbers_of(call: SeenAttention, made: Plan, blob: Blob) -> tuple[dict[str, Any], list[float]]:
    """Names of the packed numbers; and how much of each head's weight was kept, where not all of it was."""
    shares: list[float] = []
    batch, heads = call.weights.shape[:2]
    small = max(call.weights.shape[2], call.keys) <= THUMB
    entry: dict[str, Any] = {
        "heads": [head + 1 for head in call.heads],
        "coding": made.coding,
        "kept": None,
        "weights": [],
    }
    entry |= {"indices": [], "thumbs": [], "parts": _parts(call, blob) if made.parts else None}
    for item in range(batch):
        numbers = [_head(call, item, head, made) for head in range(heads)]
        rows = [each.codes if isinstance(each, Kept) else each for each in numbers]
        sparse = [each for each in numbers if isinstance(each, Kept)]
        entry["weights"].append(blob(np.stack(rows)) if small and not sparse else [blob(row) for row in rows])
        if sparse:
            entry["kept"] = sparse[0].codes.shape[1]
            entry["wide"] = sparse[0].indices.itemsize == 4
            entry["indices"].append([blob(each.indices) for each in sparse])
            shares += [each.share for each in sparse]
        if not small:
            pictures = [thumb_of_kept(each, call.keys) if isinstance(each, Kept) else thumb(each) for each in numbers]
            entry["thumbs"].append(blob(np.stack(pictures)))
    return entry, shares


def _head(call: SeenAttention, item: int, head: int, made: Plan) -> np.ndarray | Kept:
    weights = call.weights[item, head].cpu()
    if call.indices is not None:
        return kept(weights, call.indices[item, head].cpu(), call.keys, made.coding)
    if made.keep is not None and made.keep < call.keys:
        return largest(weights, made.keep, made.coding)
    if made.coding == "coarse":
        weights = weights.masked_fill(weights < 1 / (NEXT_TO_NOTHING * call.keys), 0.0)
    codes = codes_of(weights, made.coding)
    if call.allowed is not None:
        allowed = call.allowed.broadcast_to(call.weights.shape)[item, head].cpu().numpy()
        codes = np.where(allowed, codes, codes.dtype.type(MASKED))
    return codes


def _parts(call: SeenAttention, blob: Blob) -> dict[str, Any] | None:
    """What the weights were computed from, by item and head; None where it was not captured."""
    if call.query is None or call.key is None or call.value is None or call.scores is None:
        return None

    def each(tensor: Tensor) -> list[list[str]]:
        return [[blob(half(head)) for head in item] for item in tensor]

    parts: dict[str, Any] = {name: each(getattr(call, name)) for name in ("query", "key", "value", "scores")}
    parts["allowed"] = None
    if call.allowed is not None:
        allowed = call.allowed.broadcast_to(call.scores.shape).cpu().numpy().astype(np.uint8)
        parts["allowed"] = [[blob(head) for head in item] for item in allowed]
    return parts | {
        "scale": call.scale,
        "dimensions": {"query": call.query.shape[-1], "value": call.value.shape[-1]},
    }
