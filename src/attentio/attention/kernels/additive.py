"""The loops of the additive comparison, v . tanh(q + k), without ever holding the sums q + k.

Many queries: with a = exp(2 q) and b = exp(2 k), computed once,

    tanh(q + k) = 1 - 2 r,    its derivative = 4 (r - r^2),    where r = 1 / (1 + a b)

so that a pair of query and key costs one multiplication and one division per feature, and two divisions are done as
one. Few queries (`attend_few`): tanh itself, since the exponentials of the keys would cost as much; and the whole of
attention in one go, since there the calls cost more than the work.

Arrays are [batch * heads, positions, features]; `allowed` and `bias` are [batch, heads, q, k], of any strides. A loop
over `prange` is shared among threads; each of its turns writes to places of its own, in a fixed order, so that
results do not depend on the number of threads.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange, types

from attentio.attention.kernels.compiling import array, compile_loops, share_loops
from attentio.attention.kernels.tanh import tanh

QUERIES = 16
"""Queries that one turn of the loop in `scores` takes."""
FEATURES = 128
"""Features that one turn of the loop in `score_gradients` takes: what it reads and writes stays in the cache."""

_MOST = 1e18
"""Takes the place of any larger a b: r is 0 to all digits, and the product of two does not overflow."""


def scores(a: Any, b: Any, vector: Any, allowed: Any, bias: Any, out: Any) -> None:
    """out[n, i, j] = vector . tanh(q_i + k_j) + bias, -inf where not allowed; a = exp(2 q), b = exp(2 k)."""
    count, q_len, d = a.shape
    k_len, heads, half = b.shape[1], allowed.shape[1], d // 2
    one, two, most = a.dtype.type(1), a.dtype.type(2), a.dtype.type(_MOST)
    blocks = (q_len + QUERIES - 1) // QUERIES
    total = a.dtype.type(0)
    for f in range(d):
        total += vector[f]
    for turn in prange(count * blocks):
        n, start = turn // blocks, turn % blocks * QUERIES
        for i in range(start, min(start + QUERIES, q_len)):
            query = a[n, i]
            for j in range(k_len):
                if not allowed[n // heads, n % heads, i, j]:
                    out[n, i, j] = -np.inf
                    continue
                key = b[n, j]
                acc = a.dtype.type(0)
                for f in range(half):
                    x, y = query[f] * key[f], query[f + half] * key[f + half]
                    x, y = one + (most if x > most else x), one + (most if y > most else y)
                    acc += (vector[f] * y + vector[f + half] * x) / (x * y)
                if d % 2:
                    acc += vector[d - 1] / (one + query[d - 1] * key[d - 1])
                out[n, i, j] = total - two * acc + bias[n // heads, n % heads, i, j]


def score_gradients(a: Any, b: Any, vector: Any, upstream: Any, grad_q: Any, grad_k: Any, grad_v: Any) -> None:
    """Gradients of q, k and, for each n, of the vector; `upstream` is that of the scores, 0 where not allowed."""
    count, q_len, d = a.shape
    k_len = b.shape[1]
    zero, one, two, most = a.dtype.type(0), a.dtype.type(1), a.dtype.type(2), a.dtype.type(_MOST)
    chunks = (d + FEATURES - 1) // FEATURES
    for turn in prange(count * chunks):
        n, part = turn // chunks, slice(turn % chunks * FEATURES, (turn % chunks + 1) * FEATURES)
        gv, v = grad_v[n, part], vector[part]
        gv[:] = zero
        grad_q[n, :, part] = zero
        grad_k[n, :, part] = zero
        seen = np.empty(k_len, np.int64)
        row = np.empty_like(gv)  # a sum of its own for each query: shorter sums round less
        for i in range(q_len):
            many, whole = 0, zero
            row[:] = zero
            for j in range(k_len):
                if upstream[n, i, j] != zero:
                    seen[many] = j
                    many += 1
                    whole += upstream[n, i, j]
            query, gq = a[n, i, part], grad_q[n, i, part]
            for pair in range(0, many - 1, 2):
                j, m = seen[pair], seen[pair + 1]
                s, t = upstream[n, i, j], upstream[n, i, m]
                key, other, gk, go = b[n, j, part], b[n, m, part], grad_k[n, j, part], grad_k[n, m, part]
                for f in range(v.size):
                    x, y = query[f] * key[f], query[f] * other[f]
                    x, y = one + (most if x > most else x), one + (most if y > most else y)
                    both = one / (x * y)
                    r, u = both * y, both * x
                    row[f] += s * r + t * u
                    r, u = s * (r - r * r), t * (u - u * u)
                    gq[f] += r + u
                    gk[f] += r
                    go[f] += u
            if many % 2:
                j = seen[many - 1]
                s, key, gk = upstream[n, i, j], b[n, j, part], grad_k[n, j, part]
                for f in range(v.size):
                    r = one / (one + query[f] * key[f])
                    row[f] += s * r
                    r = s * (r - r * r)
                    gq[f] += r
                    gk[f] += r
            for f in range(v.size):
                gv[f] += whole - two * row[f]
        for i in range(q_len):
            for f in range(v.size):
                grad_q[n, i, part.start + f] *= two * two * v[f]
        for j in range(k_len):
            for f in range(v.size):
                grad_k[n, j, part.start + f] *= two * two * v[f]


def attend_few(
    query: Any, key: Any, value: Any, vector: Any, allowed: Any, bias: Any, masked: bool, context: Any, weights: Any
) -> None:
    """All of attention. Where something is `masked`, a query that sees NaN or inf in a value gets NaN only."""
    count, q_len, d = query.shape
    k_len, heads = key.shape[1], allowed.shape[1]
    for turn in prange(count * q_len):
        n, i = turn // q_len, turn % q_len
        weight, found = weights[n, i], context[n, i]
        highest = np.float32(-np.inf)
        for j in range(k_len):
            acc = np.float32(-np.inf)
            if allowed[n // heads, n % heads, i, j]:
                acc = np.float32(0)
                for f in range(d):
                    acc += vector[f] * tanh(query[n, i, f] + key[n, j, f])
                acc += bias[n // heads, n % heads, i, j]
            weight[j] = acc
            highest = acc if acc > highest else highest
        total = np.float32(0)
        for j in range(k_len):
            weight[j] = np.float32(0) if weight[j] == -np.inf else np.exp(weight[j] - highest)
            total += weight[j]
        found[:] = np.float32(0)
        if total == 0:
            continue
        for j in range(k_len):
            weight[j] /= total
            if allowed[n // heads, n % heads, i, j]:
                for f in range(found.size):
                    found[f] += weight[j] * value[n, j, f]
        whole = np.float32(0)
        for f in range(found.size):
            whole += found[f] * np.float32(0)
        if masked and whole != 0:
            found[:] = whole


def attend_few_gradients(
    grad_context: Any,
    grad_weights: Any,
    query: Any,
    key: Any,
    value: Any,
    vector: Any,
    weights: Any,
    grad_q: Any,
    grad_k: Any,
    grad_value: Any,
    grad_v: Any,
    grad_scores: Any,
) -> None:
    """Gradients of everything; of the vector for each n. A weight of 0 gives and gets none."""
    count, q_len, d = query.shape
    k_len = key.shape[1]
    zero = np.float32(0)
    for n in prange(count):
        gv = grad_v[n]
        gv[:] = zero
        grad_q[n] = zero
        for i in range(q_len):
            up, gq, of_row = grad_context[n, i], grad_q[n, i], grad_scores[n, i]
            common = zero
            for j in range(k_len):
                weight, seen, given = weights[n, i, j], value[n, j], grad_value[n, j]
                if i == 0:
                    given[:] = zero
                of_row[j] = zero
                if weight != zero:
                    acc = zero
                    for f in range(up.size):
                        acc += up[f] * seen[f]
                        given[f] += weight * up[f]
                    of_row[j] = weight * (acc + grad_weights[n, i, j])
                    common += of_row[j]
            for j in range(k_len):
                weight, gk = weights[n, i, j], grad_k[n, j]
                if i == 0:
                    gk[:] = zero
                if weight != zero:
                    of_row[j] -= weight * common
                    s = of_row[j]
                    for f in range(d):
                        t = tanh(query[n, i, f] + key[n, j, f])
                        gv[f] += s * t
                        u = vector[f] * (s - s * t * t)
                        gq[f] += u
                        gk[f] += u


def _arguments(name: str, number: Any) -> tuple[Any, ...]:
    """Their types, said once and for all: one compilation serves masks of any strides."""
    vector, tensor = array(number, 1), array(number, 3)
    allowed, bias = array(types.boolean, 4, "A"), array(number, 4, "A")
    return {
        "scores": (tensor, tensor, vector, allowed, bias, tensor),
        "score_gradients": (tensor, tensor, vector, tensor, tensor, tensor, array(number, 2)),
        "attend_few": (tensor, tensor, tensor, vector, allowed, bias, types.boolean, tensor, tensor),
        "attend_few_gradients": (
            *(tensor, array(number, 3, "A"), tensor, tensor, tensor, vector, tensor),
            *(tensor, tensor, tensor, array(number, 2), tensor),
        ),
    }[name]


def start(*, threads: int) -> None:
    """Compile and run something, so that what cannot be done is known at once.

    Raises:
        Exception: of numba's choice.
    """
    one, pair = np.ones((1, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    run(scores, one, one, one[0, 0], pair > 0, pair, one.copy(), threads=threads)


def run(function: Callable[..., None], *arguments: Any, threads: int) -> None:
    """`function`, one of the above, compiled and called, with up to so many threads where that is safe."""
    _compiled(function, arguments[0].dtype, share_loops(threads))(*arguments)


@functools.cache
def _compiled(function: Any, dtype: Any, parallel: bool) -> Callable[..., None]:
    return compile_loops(function, _arguments(function.__name__, numba.from_dtype(dtype)), parallel=parallel)
