"""The steps of a generation as one matrix: a row for each token that was produced."""

import itertools
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from attentio.capturing.record import SeenAttention


def join(calls: list[SeenAttention], beams: Int[Tensor, "batch steps"] | None) -> SeenAttention:
    """The calls of one attention; see `Seen.joined`."""
    first = calls[0]
    if len(calls) == 1:
        return first
    _require_steps(calls)
    steps = calls if beams is None else _winners(calls, beams)
    last, shifts = steps[-1], _shifts(calls)[: len(steps)]
    keys = max(one.keys + shift for one, shift in zip(steps, shifts, strict=True))
    top = first.indices is not None
    whole = not any(shifts) and (last.query is not None)
    return replace(
        last,
        call=0,
        q_start=first.q_start + first.weights.shape[2] - 1,
        keys=keys,
        weights=_last_rows([one.weights for one in steps], shifts, None if top else keys),
        indices=_last_rows([_shifted_indices(one, shift) for one, shift in zip(steps, shifts, strict=True)])
        if top
        else None,
        query=_last_rows([one.query for one in steps]) if whole else None,
        key=last.key if whole else None,
        value=last.value if whole else None,
        scores=_last_rows([one.scores for one in steps], shifts, keys) if whole and last.scores is not None else None,
        allowed=_last_rows([_allowed(one) for one in steps], shifts, keys) if whole else None,
    )


def _require_steps(calls: list[SeenAttention]) -> None:
    for before, one in itertools.pairwise(calls):
        q_before, q = before.weights.shape[2], one.weights.shape[2]
        same_batch = before.weights.shape[0] == one.weights.shape[0]
        whole_again = q == q_before + 1 and one.q_start == before.q_start  # without a cache
        if not same_batch or not (q == 1 or whole_again) or (one.kind == "cross" and one.keys != before.keys):
            raise ValueError(
                f"the calls of {one.name!r} are not the steps of one generation: call {one.call} has batch "
                f"{one.weights.shape[0]}, {q} queries and {one.keys} keys after batch {before.weights.shape[0]}, "
                f"{q_before} queries and {before.keys} keys; capture one generation at a time"
            )


def _shifts(calls: list[SeenAttention]) -> list[int]:
    """Position of each call's first key: above 0 where a cache of limited length has dropped the keys before it."""
    first = calls[0]
    if first.kind == "cross":
        return [0] * len(calls)
    positions = itertools.count(first.q_start + first.weights.shape[2] - 1)
    return [at - (one.q_start + one.weights.shape[2] - 1) for at, one in zip(positions, calls, strict=False)]


def _shifted_indices(one: SeenAttention, shift: int) -> Tensor | None:
    return None if one.indices is None else one.indices + shift * (one.indices >= 0).int()


def _winners(steps: list[SeenAttention], beams: Int[Tensor, "batch steps"]) -> list[SeenAttention]:
    """Of each step, the rows of the winning hypotheses."""
    lasting = int((beams >= 0).any(dim=0).sum())
    if lasting == 0 or lasting > len(steps) or int(beams.max()) >= steps[0].weights.shape[0]:
        raise ValueError(
            f"beams must name rows of the batch, below {steps[0].weights.shape[0]}, in at most {len(steps)} steps of "
            f"{steps[0].name!r}, got {list(beams.shape)} up to {int(beams.max())}"
        )
    return [_rows_of(one, rows.to(one.weights.device)) for one, rows in zip(steps, beams[:, :lasting].T, strict=False)]


def _rows_of(one: SeenAttention, rows: Int[Tensor, "batch"]) -> SeenAttention:
    ended = (rows < 0)[:, None, None, None]
    at = rows.clamp(min=0).long()

    def pick(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[at]

    return replace(
        one,
        weights=one.weights[at].masked_fill(ended, 0),
        indices=None if one.indices is None else one.indices[at].masked_fill(ended, -1),
        query=pick(one.query),
        key=pick(one.key),
        value=pick(one.value),
        scores=pick(one.scores),
        allowed=None if one.allowed is None else _allowed(one)[at],
    )


def _allowed(one: SeenAttention) -> Tensor:
    batch, _, q, _ = one.weights.shape
    if one.allowed is None:
        return torch.ones(batch, 1, 1, one.keys, dtype=torch.bool, device=one.weights.device)
    heads = one.allowed.shape[1] if one.allowed.ndim == 4 else 1
    return one.allowed.expand(batch, heads, q, one.keys)


def _last_rows(parts: list[Tensor | None], shifts: list[int] | None = None, width: int | None = None) -> Tensor:
    """The last row of each, one below the other, each moved to the right by its shift and filled up with zeros."""
    rows = [part[:, :, -1:] for part in parts if part is not None]
    if shifts is not None and width is not None:
        rows = [F.pad(row, (at, width - at - row.shape[3])) for row, at in zip(rows, shifts, strict=True)]
    return torch.cat(rows, dim=2)
