"""tanh of a float32 as a quotient of two polynomials, which a compiler turns into vector instructions.

    tanh(x) = x P(x^2) / Q(x^2)     for |x| <= 8.5, where tanh is within half a rounding of 1

The coefficients are those with the least largest error: linear least squares for x P - tanh Q = 0, each point
weighted by its error in the round before (Lawson) and by 1 / Q (Sanathanan and Koerner), which gives 1.1e-8; then
rounded to float32 and moved by single roundings wherever that lessened the error of the result in float32. It is at
most 2.7e-7, absolute and relative. The polynomials have no negative coefficient, so nothing cancels; NaN passes
through.
"""

import inspect
from typing import Any

import numpy as np
from numba import njit

FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be taken in any order, by many lanes at once; NaN and inf stay what they are."""

_TOP = np.float32(8.5)
_ONE = np.float32(1.0)
_P1, _P2, _P3, _P4 = (
    np.float32(c) for c in (0.1340934783220291, 0.0035294778645038605, 2.1179143004701473e-05, 1.4174592166682487e-08)
)
_Q1, _Q2, _Q3, _Q4 = (
    np.float32(c) for c in (0.4674266576766968, 0.02600523829460144, 0.0003341556584928185, 8.105365054689173e-07)
)


def _tanh(x: Any) -> Any:
    x = _TOP if x > _TOP else x
    x = -_TOP if x < -_TOP else x
    y = x * x
    return (
        x * (_ONE + y * (_P1 + y * (_P2 + y * (_P3 + y * _P4)))) / (_ONE + y * (_Q1 + y * (_Q2 + y * (_Q3 + y * _Q4))))
    )


tanh = njit(fastmath=FASTMATH, error_model="numpy")(inspect.unwrap(_tanh))
