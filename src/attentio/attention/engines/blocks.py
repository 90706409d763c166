"""Attention that follows the structure of a mask: queries in blocks, each with the keys that it may attend to. What a
mask empties is never computed, and a block that it fills needs no mask: windows cost queries x window, packed segments
and padded batches what their real tokens cost."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from attentio.attention.block_plan import Rows, pairs_met, plan
from attentio.attention.block_products import BlockProducts
from attentio.attention.call import Attended, Call
from attentio.attention.compare import Additive, Dot, Location, ScaledDot, dot_scale, require_same_features
from attentio.attention.engines import reference, sdpa
from attentio.attention.mask import Causal, Keep
from attentio.attention.shield import known_finite
from attentio.attention.structure import sequences_and_heads

SUMMARY = "only the blocks of queries and keys that the mask leaves"

_PAIRS_PER_BLOCK = 1 << 14
"""What handling a block costs, as the number of pairs of a query and a key computed in the same time."""
_WORTH_IT = 0.8


def refuses(call: Call) -> str | None:
    if call.mask is None:
        return "nothing is masked, so there is nothing to leave out"
    if type(call.score) not in (Dot, ScaledDot, Additive, Location):
        return "a score of another's making may depend on where a key stands among all of them"
    if call.query.shape[-2] == 0 or call.key.shape[-2] == 0:
        return "there are no queries or no keys"
    if torch.compiler.is_compiling():
        return "its blocks depend on what is in the mask, which the compiler does not know"
    return None


def yields(call: Call) -> str | None:
    q_len, k_len = call.query.shape[-2], call.key.shape[-2]
    if q_len < 64 or k_len < 64:
        return "blocks pay from 64 queries and keys on"
    if call.query.device.type != "cpu":
        return "its blocks are made for the caches of a CPU"
    if isinstance(call.mask, Causal) and sdpa.refuses(call) is None and q_len == k_len and call.bias is None:
        return "torch's kernel leaves out the future by itself"
    assert call.mask is not None
    batch, heads = call.query.shape[0], call.query.shape[1] if call.query.ndim == 4 else 1
    if sequences_and_heads(call.mask)[0] not in (1, batch):
        return None  # `run` says what is wrong.
    pairs, blocks = pairs_met(call.mask, batch, q_len, k_len, _block_size(heads))
    share = (heads * pairs + _PAIRS_PER_BLOCK * blocks) / (batch * heads * q_len * k_len)
    if share > _WORTH_IT:
        return f"the mask leaves blocks that cost {share:.0%} of the whole, which pays up to {_WORTH_IT:.0%}"
    return None


def run(call: Call) -> Attended:
    if call.query.ndim == 3:
        bias = call.bias.unsqueeze(1) if call.bias is not None and call.bias.ndim == 3 else call.bias
        query, key, value = (t.unsqueeze(1) for t in (call.query, call.key, call.value))
        _require_mask_fits(call)
        context, weights = run(call._replace(query=query, key=key, value=value, bias=bias))
        return Attended(context.squeeze(1), None if weights is None else weights.squeeze(1))
    _require_mask_fits(call)
    batch, heads, q_len, _ = call.query.shape
    assert call.mask is not None
    rows = plan(call.mask, batch, q_len, call.key.shape[-2], _block_size(heads))
    # Without masks inside the blocks they are few and large, which is what torch's kernel is made for.
    if all(block.allowed is None for row in rows for block in row.blocks) or not _is_plain_product(call):
        return _one_by_one(call, rows)
    require_same_features(call.query, call.key)
    assert isinstance(call.score, Dot | ScaledDot)
    bias = None if call.bias is None else call.bias.expand(batch, heads, q_len, call.key.shape[-2])
    return Attended(
        BlockProducts.apply(call.query, call.key, call.value, bias, dot_scale(call.score, call.query), rows), None
    )


def _block_size(heads: int) -> int:
    """Small blocks waste little on the edges of the mask; but the work of a block must outweigh Python's."""
    return 64 if heads > 3 else 128


def _require_mask_fits(call: Call) -> None:
    assert call.mask is not None
    sequences, heads = sequences_and_heads(call.mask)
    most = call.query.shape[1] if call.query.ndim == 4 else 1
    if sequences not in (1, call.query.shape[0]) or heads not in (1, most):
        call.allowed()  # Says what is wrong.


def _is_plain_product(call: Call) -> bool:
    """What `BlockProducts` computes."""
    return (
        type(call.score) in (Dot, ScaledDot)
        and call.query.dtype in (torch.float32, torch.float64)
        and not (call.need_weights or call.dropout)
        and (call.bias is None or not call.bias.requires_grad)
        and known_finite(call.key, call.value)
    )


def _one_by_one(call: Call, plan: list[Rows]) -> Attended:
    """Every block as a call of its own."""
    every = slice(None)
    blocks = [(rows.sequences, block) for rows in plan for block in rows.blocks]
    of_features = isinstance(call.score, Location)
    queries = _pieces(call.query, [(b, every, at.queries, at.keys if of_features else every) for b, at in blocks])
    keys = _pieces(call.key, [(b, every, at.keys) for b, at in blocks])
    values = _pieces(call.value, [(b, every, at.keys) for b, at in blocks])
    biases: tuple[Tensor | None, ...] = (None,) * len(blocks)
    if call.bias is not None:
        bias = call.bias.reshape((1,) * (4 - call.bias.ndim) + call.bias.shape)
        places = ((b, every, at.queries, at.keys) for b, at in blocks)
        one = [n == 1 for n in bias.shape]
        biases = _pieces(bias, [tuple(every if o else p for o, p in zip(one, place, strict=True)) for place in places])
    found: list[Attended] = []
    for (_, at), query, key, value, added in zip(blocks, queries, keys, values, biases, strict=True):
        mask = None if at.allowed is None else Keep(at.allowed)
        part = call._replace(query=query, key=key, value=value, mask=mask, bias=added)
        found.append((reference if sdpa.refuses(part) else sdpa).run(part))
    return _assemble(call, plan, found)


def _assemble(call: Call, plan: list[Rows], found: list[Attended]) -> Attended:
    """The blocks side by side; weights outside of them are 0."""
    k_len, parts = call.key.shape[-2], iter(found)
    contexts, weights = [], []
    for rows in plan:
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
    def forward(tensor: Tensor, places: list[tuple[slice, ...]]) -> tuple[Tensor, ...]:
        return tuple(tensor[place] for place in places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        tensor, ctx.places = inputs
        ctx.shape = tensor.shape
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, None]:
        given = [(place, grad) for place, grad in zip(ctx.places, upstream, strict=True) if grad is not None]
        if not given:
            return None, None
        total = given[0][1].new_zeros(ctx.shape)
        for place, grad in given:
            total[place] += grad
        return total, None


def _pieces(tensor: Float[Tensor, "..."], places: list[tuple[slice, ...]]) -> tuple[Tensor, ...]:
    return _Pieces.apply(tensor, places)
