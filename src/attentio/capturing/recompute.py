"""The weights of an observed attention, made again from its queries and keys, a few queries at a time.

Fused kernels never hold the weights, so they are computed once more. A part is small enough that nothing as large as
all scores in float32 ever exists; parts come in the order of the tensor's memory.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.compare import Additive, Dot, Location, ScaledDot
from attentio.attention.mask import Mask
from attentio.attention.mask_base import with_heads
from attentio.attention.normalize import normalize
from attentio.capturing.observe import Observed
from attentio.capturing.scores import is_masked

_PART = 2**20
_DOTS = (Dot, ScaledDot)


class Part(NamedTuple):
    """Some sequences, some heads (by number) and some queries of a call."""

    batch: range
    heads: Sequence[int]
    queries: range


def sizes(one: Observed) -> tuple[int, int, int, int]:
    """batch, heads, queries and keys of a call."""
    if one.query is None or one.key is None:
        assert one.weights is not None
        batch, heads, q, k = one.weights.shape
        return batch, heads, q, k
    return one.query.shape[0], one.query.shape[1], one.query.shape[2], one.key.shape[2]


def in_parts(one: Observed, heads: Sequence[int]) -> Iterator[Part]:
    """The whole call, for these heads, in parts: as many queries as fit, else heads, else sequences."""
    batch, _, q, k = sizes(one)
    if one.score is not None and not isinstance(one.score, Dot | ScaledDot | Additive | Location):
        yield Part(range(batch), heads, range(q))  # any function of query and key: it may need them whole
        return
    features = one.key.shape[3] if isinstance(one.score, Additive) and one.key is not None else 1
    rows = max(1, _PART // max(1, k * features))
    sequences, some_heads = max(1, rows // max(1, q * len(heads))), max(1, rows // max(1, q))
    for b in range(0, batch, sequences):
        for h in range(0, len(heads), some_heads):
            for i in range(0, q, rows):
                yield Part(range(b, min(b + sequences, batch)), heads[h : h + some_heads], range(i, min(i + rows, q)))


def weights_of(one: Observed, part: Part) -> Float[Tensor, "batch heads q k"]:
    """softmax, or the call's own normalization, over the keys that are allowed, before dropout; all 0 where none is."""
    if one.query is None:
        assert one.weights is not None
        return _take(one.weights, part)
    scores = _compared(one, part)
    added, allowed = _added(one, part), _allowed(one, part)
    if added is not None:
        scores = scores + added
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    return normalize(scores, one.normalize)


def scores_of(one: Observed, part: Part) -> Float[Tensor, "batch heads q k"]:
    """compare(query, key), scaled, bias added, before the mask."""
    added, scores = _added(one, part), _compared(one, part)
    return scores if added is None else scores + added.masked_fill(is_masked(added), 0.0)


def allowed_of(one: Observed, part: Part) -> Bool[Tensor, "... _ _"] | None:
    """Which keys a query may attend to; broadcasts to the scores; None: all."""
    added, allowed = _added(one, part), _allowed(one, part)
    masked = None if added is None else is_masked(added)
    if masked is None or not masked.any():
        return allowed
    return ~masked if allowed is None else allowed & ~masked


def _compared(one: Observed, part: Part) -> Tensor:
    assert one.query is not None
    assert one.key is not None
    exact = one.query.dtype if one.query.dtype == torch.float64 else torch.float32
    if one.score is None or isinstance(one.score, _DOTS):
        query, key = _take(one.query, part).to(exact), _take(one.key, part, queries=False).to(exact)
        scores = (query * (1.0 if one.scale is None else one.scale)) @ key.transpose(-1, -2)
    elif isinstance(one.score, Additive | Location):
        scores = one.score(_take(one.query, part).to(exact), _take(one.key, part, queries=False).to(exact))
    else:
        scores = _take(one.score(one.query, one.key), part).to(exact)
    if one.bias is not None:
        scores = scores + _take(one.bias, part)
    if one.score_mod is not None:
        scores = one.score_mod(scores, *_positions(part, scores)).broadcast_to(scores.shape)
    return scores


def _added(one: Observed, part: Part) -> Tensor | None:
    """A mask of floating point, which is added to the scores."""
    if isinstance(one.mask, Tensor) and one.mask.dtype != torch.bool:
        return _take(one.mask, part)
    return None


def _allowed(one: Observed, part: Part) -> Tensor | None:
    """Every other mask, True = may attend."""
    assert one.query is not None
    _, _, q, k = sizes(one)
    device, queries = one.query.device, part.queries
    allowed = None
    if isinstance(one.mask, Mask):
        picture = with_heads(one.mask.part(slice(queries.start, queries.stop), slice(0, k), k - q, device))
        allowed = _take(picture, part, queries=False)
    elif isinstance(one.mask, Tensor) and one.mask.dtype == torch.bool:
        allowed = _take(one.mask, part)
    elif one.mask is not None and not isinstance(one.mask, Tensor):
        shape = (len(part.batch), len(part.heads), len(queries), k)
        b, h, i, j = _positions(part, one.query.new_empty(0, k))
        allowed = one.mask.mask_mod(b, h, i, j).broadcast_to(shape)
    if one.is_causal:
        i, j = torch.arange(queries.start, queries.stop, device=device), torch.arange(k, device=device)
        causal = j <= i[:, None]
        allowed = causal if allowed is None else allowed & causal
    return allowed


def _positions(part: Part, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Numbers of sequence, head, query and key, as FlexAttention's functions are given them; they broadcast."""
    device = scores.device
    b = torch.tensor(part.batch, device=device)[:, None, None, None]
    h = torch.tensor(part.heads, device=device)[:, None, None]
    i = torch.tensor(part.queries, device=device)[:, None]
    return b, h, i, torch.arange(scores.shape[-1], device=device)


def _take(tensor: Tensor, part: Part, *, queries: bool = True) -> Tensor:
    """The part of what broadcasts to [batch, heads, q, _]; not of its queries where these have been taken already."""
    if queries and tensor.ndim >= 2 and tensor.shape[-2] > 1:
        tensor = tensor[..., part.queries.start : part.queries.stop, :]
    if tensor.ndim >= 3 and tensor.shape[-3] > 1:
        heads = list(part.heads)
        neighbours = heads == list(range(heads[0], heads[-1] + 1))  # which need no copy
        tensor = tensor[..., heads[0] : heads[-1] + 1, :, :] if neighbours else tensor[..., heads, :, :]
    if tensor.ndim == 4 and tensor.shape[0] > 1:
        tensor = tensor[part.batch.start : part.batch.stop]
    return tensor
