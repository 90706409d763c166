"""The loops of sparsemax and entmax, a row at a time: what would be twenty passes over all scores stays in the cache.

    weights[j] = [x_j - tau]_+ ^ p,    x_j = (alpha - 1) (scores[j] - max scores),    p = 1 / (alpha - 1)

Their sum falls in tau and is convex, so Newton's method from tau = -1, where it is at least 1, comes to 1 from one
side, in some few steps and without a sort; for sparsemax it is Michelot's algorithm (1986), which ends exactly.

rate: alpha - 1. Arrays are [rows, keys] of float32. Each turn of a loop over `prange` writes to a row of its own.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange, types

from attentio.attention.kernels.compiling import array, compile_loops, share_loops

_STEPS = 100
"""Far more than are ever taken."""
_SMALLEST_STEP = 1e-7
"""Relative to tau: less than rounds off."""


def weights(scores: Any, rate: Any, out: Any) -> None:
    """out = the weights of each row; 0 where the score is -inf; NaN elsewhere in a row with NaN or inf."""
    rows, k_len = scores.shape
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    power = one / rate
    for i in prange(rows):
        row, found = scores[i], out[i]
        highest, strange = np.float32(-np.inf), False
        for j in range(k_len):
            highest = row[j] if row[j] > highest else highest
            strange |= row[j] != row[j]
        if strange or not np.isfinite(highest):
            for j in range(k_len):
                found[j] = zero if row[j] == -np.inf else np.float32(np.nan)
            continue
        for j in range(k_len):
            x = rate * (row[j] - highest)
            found[j] = x if x > -one else -one
        tau = -one
        for _ in range(_STEPS):
            mass, slope = zero, zero
            if power == one:
                for j in range(k_len):
                    seen = np.float32(found[j] > tau)
                    mass += seen * (found[j] - tau)
                    slope += seen
            elif power == two:
                for j in range(k_len):
                    above = found[j] - tau if found[j] > tau else zero
                    mass += above * above
                    slope += above
            else:
                total, rise = 0.0, 0.0  # one by one, many numbers cannot be summed in float32
                for j in range(k_len):
                    if found[j] > tau:
                        above = found[j] - tau
                        part = above ** (power - one)
                        total += part * above
                        rise += part
                mass, slope = np.float32(total), np.float32(rise)
            step = (mass - one) / (power * slope)
            tau += step
            if step < -tau * np.float32(_SMALLEST_STEP):
                break
        for j in range(k_len):
            above = found[j] - tau if found[j] > tau else zero
            found[j] = above if power == one else above * above if power == two else above**power


def gradients(weights: Any, upstream: Any, rate: Any, out: Any) -> None:
    """out = s (upstream - the mean of upstream, weighted with s),  s = weights ^ (2 - alpha), 0 where a weight is 0."""
    rows, k_len = weights.shape
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    for i in prange(rows):
        found = out[i]
        total, common = zero, zero
        for j in range(k_len):
            weight = weights[i, j]
            found[j] = zero
            if not weight <= zero:
                s = one if rate == one else np.sqrt(weight) if rate == half else weight ** (one - rate)
                found[j] = s
                total += s
                common += s * upstream[i, j]
        for j in range(k_len):
            found[j] = zero if found[j] == zero else found[j] * (upstream[i, j] - common / total)


def start() -> None:
    """Compile and run something, so that what cannot be done is known at once.

    Raises:
        Exception: of numba's choice.
    """
    one = np.ones((1, 1), np.float32)
    run(weights, one, np.float32(1), one.copy(), threads=1)


def run(function: Callable[..., None], *arguments: Any, threads: int) -> None:
    """`function`, one of the above, compiled and called, with up to so many threads where that is safe."""
    _compiled(function, share_loops(threads))(*arguments)


@functools.cache
def _compiled(function: Any, parallel: bool) -> Callable[..., None]:
    rows, number = array(types.float32, 2), types.float32
    arguments = (rows, number, rows) if function is weights else (rows, rows, number, rows)
    return compile_loops(function, arguments, parallel=parallel)
