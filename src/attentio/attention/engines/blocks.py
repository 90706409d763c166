"""Attention that follows the structure of a mask: queries in blocks, each with the keys that it may attend to. What a
mask empties is never computed, and a block that it fills needs no mask: windows cost queries x window, packed segments
and padded batches what their real tokens cost."""

import functools

import torch

from attentio.attention.call import Attended, Call
from attentio.attention.compare import COMPARISONS, Dot, ScaledDot, dot_scale
from attentio.attention.engines import reference, sdpa
from attentio.attention.engines.block_calls import one_by_one
from attentio.attention.engines.block_layout import Grid
from attentio.attention.engines.block_products import BlockProducts
from attentio.attention.engines.engine import NOTHING_TO_DO, Plan
from attentio.attention.mask_kinds import Causal
from attentio.attention.shield import known_finite

SUMMARY = "only the blocks of queries and keys that the mask leaves"

_PAIRS_PER_BLOCK = 1 << 14
"""What handling a block costs, as the number of pairs of a query and a key computed in the same time."""
_WORTH_IT = 0.8
"""Share of the whole call's cost, up to which blocks are taken: measured, see docs/engines.md."""


def refuses(call: Call) -> str | None:
    if call.mask is None:
        return "nothing is masked, so there is nothing to leave out"
    if type(call.score) not in COMPARISONS:
        return "a score of another's making may depend on where a key stands among all of them"
    if call.is_empty():
        return NOTHING_TO_DO
    if torch.compiler.is_compiling():
        return "its blocks depend on what is in the mask, which the compiler does not know"
    return None


def plan(call: Call) -> Plan:
    q_len, k_len = call.query.shape[2], call.key.shape[2]
    if q_len < 64 or k_len < 64:
        return Plan(run, slower_because="blocks pay from 64 queries and keys on")
    if call.query.device.type != "cpu":
        return Plan(run, slower_because="its blocks are made for the caches of a CPU")
    if isinstance(call.mask, Causal) and sdpa.refuses(call) is None and q_len == k_len and call.bias is None:
        return Plan(run, slower_because="torch's kernel leaves out the future by itself")
    grid = _grid(call)
    batch, heads = call.query.shape[:2]
    pairs, blocks = grid.pairs_and_blocks()
    share = (heads * pairs + _PAIRS_PER_BLOCK * blocks) / (batch * heads * q_len * k_len)
    if share > _WORTH_IT:
        why = f"the mask leaves blocks that cost {share:.0%} of the whole, which pays up to {_WORTH_IT:.0%}"
        return Plan(run, slower_because=why)
    return Plan(functools.partial(_run, grid=grid))


def run(call: Call) -> Attended:
    return _run(call, _grid(call))


def _grid(call: Call) -> Grid:
    batch, heads, q_len, _ = call.query.shape
    assert call.mask is not None
    # Small blocks waste little on the edges of the mask; but the work of a block must outweigh Python's.
    return Grid.of(call.mask, batch, q_len, call.key.shape[2], size=64 if heads > 3 else 128)


def _run(call: Call, grid: Grid) -> Attended:
    layout = grid.cut()
    # Without masks inside the blocks they are few and large, which is what torch's kernel is made for.
    if all(block.allowed is None for row in layout for block in row.blocks) or not _is_plain_product(call):
        return one_by_one(call, layout, _run_block)
    assert isinstance(call.score, Dot | ScaledDot)
    bias = None if call.bias is None else call.bias.expand(*call.query.shape[:3], call.key.shape[2])
    return Attended(
        BlockProducts.apply(call.query, call.key, call.value, bias, dot_scale(call.score, call.query), layout), None
    )


def _is_plain_product(call: Call) -> bool:
    """What `BlockProducts` computes."""
    return (
        type(call.score) in (Dot, ScaledDot)
        and call.query.dtype in (torch.float32, torch.float64)
        and not (call.need_weights or call.dropout)
        and (call.bias is None or not call.bias.requires_grad)
        and known_finite(call.key, call.value)
    )


def _run_block(part: Call) -> Attended:
    return (reference if sdpa.refuses(part) else sdpa).run(part)
