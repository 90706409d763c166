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
from numba import njit, types

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


def block_step(
    x: Any,
    matrices: Any,
    biases: Any,
    norm_vectors: Any,
    norms: Any,
    activation: int,
    keys: Any,
    values: Any,
    own: Any,
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
    keys, values: [batch, groups, slots, d], the last `beam` slots of which are the new tokens'.
    own: [batch, beam, slots], what a hypothesis sees. bias: [heads, slots]. rotation: cos and sin, [2, d].
    source_keys, source_values: [batch, heads, source, d]. real: [batch, source].
    cross_weights: [batch, heads, beam, source], written here.
    """
    qkv_matrix, output_matrix, query_matrix, cross_matrix, up_matrix, gate_matrix, down_matrix = matrices
    qkv_bias, output_bias, query_bias, cross_bias, up_bias, gate_bias, down_bias = biases
    own_norm, own_norm_bias, cross_norm, cross_norm_bias, fed_norm, fed_norm_bias = norm_vectors
    rows, width = x.shape
    batch, groups, slots, d = keys.shape
    beam, heads = rows // batch, width // d
    read, context, made = np.empty_like(x), np.empty_like(x), np.empty_like(x)

    before(x, own_norm, own_norm_bias, norms, read)
    projected = np.empty((rows, (heads + 2 * groups) * d), np.float32)
    multiply(read, qkv_matrix, qkv_bias, projected)
    for r in range(rows):
        b, slot, parts = r // beam, slots - beam + r % beam, projected[r].reshape(heads + 2 * groups, d)
        if rotation.size:
            for h in range(heads + groups):
                turn(parts[h], rotation[0], rotation[1])
        keys[b, :, slot] = parts[heads : heads + groups]
        values[b, :, slot] = parts[heads + groups :]
    weights = np.empty(slots, np.float32)
    for r in range(rows):
        b, queries, contexts = r // beam, projected[r].reshape(heads + 2 * groups, d), context[r].reshape(heads, d)
        allowed = own[b, r % beam] if own.size else own[:, 0, 0]
        for h in range(heads):
            g, of_head = h * groups // heads, bias[h] if bias.size else bias[:, 0]
            attend(queries[h], keys[b, g], values[b, g], allowed, of_head, weights, contexts[h])
    multiply(context, output_matrix, output_bias, made)
    after(x, made, own_norm, own_norm_bias, norms)

    if query_matrix.size:
        before(x, cross_norm, cross_norm_bias, norms, read)
        multiply(read, query_matrix, query_bias, made)
        for r in range(rows):
            b, queries, contexts = r // beam, made[r].reshape(heads, d), context[r].reshape(heads, d)
            allowed, weights_of_row = real[b] if real.size else real[:, 0], cross_weights[b, :, r % beam]
            for h in range(heads):
                k, v = source_keys[b, h], source_values[b, h]
                attend(queries[h], k, v, allowed, bias[:0, 0], weights_of_row[h], contexts[h])
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


def compiled_block_step() -> Callable[..., None]:
    """`block_step` as machine code."""
    number, yes = types.float32, types.boolean
    return compile_loops(
        block_step,
        (
            array(number, 2),
            types.UniTuple(array(number, 2), 7),
            types.UniTuple(array(number, 1), 7),
            types.UniTuple(array(number, 1), 6),
            types.Tuple((number, yes, yes)),
            types.int64,
            *(array(number, 4, "A"), array(number, 4, "A"), array(yes, 3, "A"), array(number, 2), array(number, 2)),
            *(array(number, 4), array(number, 4), array(yes, 2), array(number, 4)),
        ),
    )


def compiled_linear() -> Callable[..., None]:
    """`linear` as machine code."""
    matrix = array(types.float32, 2)
    return compile_loops(linear, (matrix, matrix, array(types.float32, 1), matrix))
