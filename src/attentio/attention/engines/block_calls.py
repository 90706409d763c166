"""Every block as a call of its own, and the results side by side."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from attentio.attention.call import Attended, Call, Compute
from attentio.attention.compare import Location
from attentio.attention.engines.block_layout import SequenceBlocks
from attentio.attention.mask_kinds import Keep
from attentio.attention.transforms import many_at_once

_Place = tuple[slice, ...]


def one_by_one(call: Call, layout: list[SequenceBlocks], compute: Compute) -> Attended:
    """What `compute` makes of every block; the blocks hold the mask of the call."""
    every = slice(None)
    blocks = [(rows.sequences, block) for rows in layout for block in rows.blocks]
    of_features = isinstance(call.score, Location)
    queries = _pieces(call.query, [(b, every, at.queries, at.keys if of_features else every) for b, at in blocks])
    keys = _pieces(call.key, [(b, every, at.keys) for b, at in blocks])
    values = _pieces(call.value, [(b, every, at.keys) for b, at in blocks])
    biases: tuple[Tensor | None, ...] = (None,) * len(blocks)
    if call.bias is not None:
        places = ((b, every, at.queries, at.keys) for b, at in blocks)
        one = [n == 1 for n in call.bias.shape]
        places_there = [tuple(every if o else p for o, p in zip(one, place, strict=True)) for place in places]
        biases = _pieces(call.bias, places_there)
    found: list[Attended] = []
    for (_, at), query, key, value, added in zip(blocks, queries, keys, values, biases, strict=True):
        mask = None if at.allowed is None else Keep(at.allowed)
        part = call._replace(query=query, key=key, value=value, mask=mask, bias=added)
        found.append(compute(part))
    return _assemble(call, layout, found)


def _assemble(call: Call, layout: list[SequenceBlocks], found: list[Attended]) -> Attended:
    """The blocks side by side; weights outside of them are 0."""
    k_len, parts = call.key.shape[2], iter(found)
    contexts, weights = [], []
    for rows in layout:
        of_rows = [(block.keys, next(parts)) for block in rows.blocks]
        contexts.append(_joined([part.context for _, part in of_rows], dim=2))
        if call.need_weights:
            wide = [F.pad(part.weights, (at.start, k_len - at.stop)) for at, part in of_rows]  # type: ignore[arg-type]
            weights.append(_joined(wide, dim=2))
    return Attended(_joined(contexts, dim=0), _joined(weights, dim=0) if call.need_weights else None)


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


class _Pieces(torch.autograd.Function):
    """Pieces of a tensor, which may overlap. Their gradients are added up in place, in one tensor, where ordinary
    slices would each make one of the full size."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, places: list[_Place]) -> tuple[Tensor, ...]:
        ctx.shape, ctx.places = tensor.shape, places
        ctx.set_materialize_grads(False)
        return tuple(tensor[place] for place in places)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, None]:
        given = [(place, grad) for place, grad in zip(ctx.places, upstream, strict=True) if grad is not None]
        if not given:
            return None, None
        places, grads = zip(*given, strict=True)
        return _Total.apply(ctx.shape, list(places), *grads), None


class _Total(torch.autograd.Function):
    """Pieces added up to a tensor of this shape: the gradient of `_Pieces`, and the other way round."""

    @staticmethod
    def forward(ctx: Any, shape: torch.Size, places: list[_Place], *pieces: Tensor) -> Tensor:
        if many_at_once(*pieces):
            raise ValueError(
                'blocks take one gradient at a time; write vectorize=False, or attend(.., engine="reference")'
            )
        ctx.places = places
        total = pieces[0].new_zeros(shape)
        for place, piece in zip(places, pieces, strict=True):
            total[place] += piece
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_Pieces.apply(upstream[0], ctx.places)


def _pieces(tensor: Float[Tensor, "_ _ _ _"], places: list[_Place]) -> tuple[Tensor, ...]:
    return _Pieces.apply(tensor, places)
