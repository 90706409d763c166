"""One new token of a few hypotheses through a Transformer block, in one go.

A step of decoding reads every weight once for a handful of numbers. Called one after the other, its sixty small
operations take longer to call than to compute; here they are loops behind one call.

Arrays are float32; x is [rows, width] with rows = batch * beam, weights are [outputs, inputs]. Whoever calls makes sure
that shapes go together.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange, types

from attentio.attention.kernels.compiling import array, compile_loops
from attentio.attention.kernels.tanh import FASTMATH

ACTIVATIONS = ("relu", "gelu", "gelu-tanh", "silu", "swiglu")
_RELU, _GELU, _GELU_TANH = (np.int64(number) for number in range(3))
_ZERO, _HALF, _ONE = (np.float32(number) for number in (0, 0.5, 1))
_CUBIC, _SLOPE = np.float32(0.044715), np.float32(math.sqrt(2 / math.pi))
_HALVED = np.float32(math.sqrt(0.5))


def linear(x: Any, weight: Any, bias: Any, out: Any) -> None:
    """out = x W^T + b: every weight is read from memory once, for all rows. An empty bias is none."""
    for i in range(weight.shape[0]):
        line = weight[i]
        for r in range(x.shape[0]):
            acc = _ZERO
            for f in range(line.size):
                acc += line[f] * x[r, f]
            out[r, i] = acc + bias[i] if bias.size else acc


def _norm(x: Any, weight: Any, bias: Any, eps: Any, centred: bool, out: Any) -> None:
    """LayerNorm; RMSNorm where not `centred`."""
    count = np.float32(x.shape[1])
    for r in range(x.shape[0]):
        mean, variance = _ZERO, _ZERO
        if centred:
            for f in range(x.shape[1]):
                mean += x[r, f]
            mean /= count
        for f in range(x.shape[1]):
            variance += (x[r, f] - mean) * (x[r, f] - mean)
        scale = _ONE / np.sqrt(variance / count + eps)
        for f in range(x.shape[1]):
            out[r, f] = (x[r, f] - mean) * scale * weight[f]
            if bias.size:
                out[r, f] += bias[f]


def _before(x: Any, weight: Any, bias: Any, norms: Any, out: Any) -> None:
    """What a sub-layer reads: x, normed where norms come first."""
    eps, centred, pre_norm = norms
    if pre_norm:
        norm(x, weight, bias, eps, centred, out)
    else:
        out[:] = x


def _after(x: Any, made: Any, weight: Any, bias: Any, norms: Any) -> None:
    """x + what the sub-layer made of it, normed where norms come last."""
    eps, centred, pre_norm = norms
    for r in range(x.shape[0]):
        for f in range(x.shape[1]):
            x[r, f] += made[r, f]
    if not pre_norm:
        norm(x, weight, bias, eps, centred, x)


def _activate(x: Any, activation: int) -> Any:
    if activation == _RELU:
        return x if x > _ZERO or x != x else _ZERO
    if activation == _GELU:
        return x * _HALF * (_ONE + np.float32(math.erf(x * _HALVED)))
    if activation == _GELU_TANH:
        return x * _HALF * (_ONE + np.float32(math.tanh(_SLOPE * (x + _CUBIC * x * x * x))))
    return x / (_ONE + np.exp(-x))


def _turn(vector: Any, cos: Any, sin: Any) -> None:
    """Features i and i + d/2 by their angle, as `layers.positions.Rotation`."""
    half = vector.size // 2
    for f in range(half):
        first, second = vector[f], vector[f + half]
        vector[f] = first * cos[f] - second * sin[f]
        vector[f + half] = second * cos[f + half] + first * sin[f + half]


def _attend(query: Any, keys: Any, values: Any, allowed: Any, bias: Any, weights: Any, context: Any) -> None:
    """One query of one head; `allowed` and `bias` are empty where there is no mask and no bias."""
    scale, highest = _ONE / np.sqrt(np.float32(query.size)), np.float32(-np.inf)
    for j in range(weights.size):
        acc = np.float32(-np.inf)
        if allowed.size == 0 or allowed[j]:
            acc = _ZERO
            for f in range(query.size):
                acc += query[f] * keys[j, f]
            acc *= scale
            if bias.size:
                acc += bias[j]
        weights[j] = acc
        highest = acc if acc > highest else highest
    total = _ZERO
    for j in range(weights.size):
        weights[j] = _ZERO if weights[j] == -np.inf else np.exp(weights[j] - highest)
        total += weights[j]
    context[:] = _ZERO
    if total == _ZERO:
        return
    for j in range(weights.size):
        weights[j] /= total
        if allowed.size == 0 or allowed[j]:
            for f in range(context.size):
                context[f] += weights[j] * values[j, f]


_inlined = functools.partial(njit, fastmath=FASTMATH, error_model="numpy")
multiply, norm, activate, turn, attend = (
    _inlined(inspect.unwrap(function)) for function in (linear, _norm, _activate, _turn, _attend)
)
before, after = _inlined(inspect.unwrap(_before)), _inlined(inspect.unwrap(_after))


def self_attend(
    projected: Any, keys: Any, values: Any, slots: int, visible: Any, bias: Any, rotation: Any, context: Any
) -> None:
    """Every row's new token attends to the slots, of which it fills one.

    projected: [rows, (heads + 2 groups) d], queries, keys and values. keys, values: [batch, groups, room, d], of
    which `slots` are in use, the last `beam` by the new tokens. visible: [batch, beam, slots], what a hypothesis sees;
    of the new ones itself only. bias: [heads, slots]. rotation: cos and sin, [2, d]. context: [rows, heads d],
    written here.
    """
    rows, (batch, groups, _, d) = projected.shape[0], keys.shape
    beam, heads = rows // batch, context.shape[1] // d
    for r in prange(rows):
        b, slot = r // beam, slots - beam + r % beam
        vectors, contexts = projected[r].reshape(heads + 2 * groups, d), context[r].reshape(heads, d)
        if rotation.size:
            for h in range(heads + groups):
                turn(vectors[h], rotation[0], rotation[1])
        for g in range(groups):
            for f in range(d):
                keys[b, g, slot, f] = vectors[heads + g, f]
                values[b, g, slot, f] = vectors[heads + groups + g, f]
        weights, allowed = np.empty(slots, np.float32), visible[b, r % beam] if visible.size else visible[:, 0, 0]
        for h in range(heads):
            g, of_head = h * groups // heads, bias[h] if bias.size else bias[:, 0]
            attend(vectors[h], keys[b, g], values[b, g], allowed, of_head, weights, contexts[h])


def cross_attend(queries: Any, keys: Any, values: Any, real: Any, weights: Any, context: Any) -> None:
    """Every row attends to its source.

    queries: [rows, heads d]. keys, values: [batch, heads, source, d]. real: [batch, source]. weights: [batch, heads,
    beam, source] and context: [rows, heads d], written here.
    """
    rows, (batch, heads, _, d) = queries.shape[0], keys.shape
    beam, no_bias = rows // batch, np.empty(0, np.float32)
    for r in prange(rows):
        b, query, contexts = r // beam, queries[r].reshape(heads, d), context[r].reshape(heads, d)
        allowed, weights_of_row = real[b] if real.size else real[:, 0], weights[b, :, r % beam]
        for h in range(heads):
            attend(query[h], keys[b, h], values[b, h], allowed, no_bias, weights_of_row[h], contexts[h])


attend_to_slots, attend_to_source = _inlined(inspect.unwrap(self_attend)), _inlined(inspect.unwrap(cross_attend))


def block_step(
    x: Any,
    matrices: Any,
    biases: Any,
    norm_vectors: Any,
    norms: Any,
    activation: int,
    keys: Any,
    values: Any,
    slots: int,
    visible: Any,
    bias: Any,
    rotation: Any,
    source_keys: Any,
    source_values: Any,
    real: Any,
    cross_weights: Any,
) -> None:
    """x becomes what `TransformerBlock.step` returns; the cache's last slots are filled. Empty arrays: there is none.

    matrices: of queries_keys_values, output, cross queries, cross output, up, gate, down. biases: theirs.
    norm_vectors: weight and bias of each of the three norms. norms: eps; whether they subtract the mean; come first.
    keys, values, slots, visible, bias, rotation: see `self_attend`. source_keys, source_values, real, cross_weights:
    see `cross_attend`.
    """
    qkv_matrix, output_matrix, query_matrix, cross_matrix, up_matrix, gate_matrix, down_matrix = matrices
    qkv_bias, output_bias, query_bias, cross_bias, up_bias, gate_bias, down_bias = biases
    own_norm, own_norm_bias, cross_norm, cross_norm_bias, fed_norm, fed_norm_bias = norm_vectors
    rows = x.shape[0]
    read, context, made = np.empty_like(x), np.empty_like(x), np.empty_like(x)

    before(x, own_norm, own_norm_bias, norms, read)
    projected = np.empty((rows, qkv_matrix.shape[0]), np.float32)
    multiply(read, qkv_matrix, qkv_bias, projected)
    attend_to_slots(projected, keys, values, slots, visible, bias, rotation, context)
    multiply(context, output_matrix, output_bias, made)
    after(x, made, own_norm, own_norm_bias, norms)

    if query_matrix.size:
        before(x, cross_norm, cross_norm_bias, norms, read)
        multiply(read, query_matrix, query_bias, made)
        attend_to_source(made, source_keys, source_values, real, cross_weights, context)
        multiply(context, cross_matrix, cross_bias, made)
        after(x, made, cross_norm, cross_norm_bias, norms)

    before(x, fed_norm, fed_norm_bias, norms, read)
    hidden = np.empty((rows, up_matrix.shape[0]), np.float32)
    multiply(read, up_matrix, up_bias, hidden)
    gate = np.empty((rows, gate_matrix.shape[0]), np.float32)
    multiply(read, gate_matrix, gate_bias, gate)
    for r in range(rows):
        for f in range(hidden.shape[1]):
            if gate.size:
                hidden[r, f] *= activate(gate[r, f], activation)
            else:
                hidden[r, f] = activate(hidden[r, f], activation)
    multiply(hidden, down_matrix, down_bias, made)
    after(x, made, fed_norm, fed_norm_bias, norms)


_ARRAYS = {axes: array(types.float32, axes) for axes in (1, 2, 3, 4)}
_SLOTS = _ARRAYS[4], _ARRAYS[4], types.int64, array(types.boolean, 3, "A"), _ARRAYS[2], _ARRAYS[2]
_SOURCE = _ARRAYS[4], _ARRAYS[4], array(types.boolean, 2), _ARRAYS[4]


def compiled_block_step() -> Callable[..., None]:
    """`block_step` as machine code."""
    weights = types.UniTuple(_ARRAYS[2], 7), types.UniTuple(_ARRAYS[1], 7), types.UniTuple(_ARRAYS[1], 6)
    norms = types.Tuple((types.float32, types.boolean, types.boolean))
    return compile_loops(block_step, (_ARRAYS[2], *weights, norms, types.int64, *_SLOTS, *_SOURCE))


@functools.cache
def compiled_self_attend(*, parallel: bool) -> Callable[..., None]:
    """`self_attend` as machine code."""
    return compile_loops(self_attend, (_ARRAYS[2], *_SLOTS, _ARRAYS[2]), parallel=parallel)


@functools.cache
def compiled_cross_attend(*, parallel: bool) -> Callable[..., None]:
    """`cross_attend` as machine code."""
    return compile_loops(cross_attend, (_ARRAYS[2], *_SOURCE, _ARRAYS[2]), parallel=parallel)


def compiled_linear() -> Callable[..., None]:
    """`linear` as machine code."""
    return compile_loops(linear, (_ARRAYS[2], _ARRAYS[2], _ARRAYS[1], _ARRAYS[2]))
