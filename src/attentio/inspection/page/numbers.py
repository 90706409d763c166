"""Attention weights as the small integers that a page keeps and draws.

A weight becomes a code, and codes are in the order of the weights, so that the page finds the largest of many
cells, and the colour of each, without decoding. The lowest codes are not numbers:

    0 masked    1 not kept (another top-k)    2 not a number    3, 4, ..  weights from 0 upwards

`half` codes are the bits of the float16 weight plus 3, which are in the order of the (positive) weights: nothing
is lost of what was captured. `byte` codes take half the room: code = 3 + round(252 * weight ** (1/4)). The
fourth root spreads the error evenly over what attention weights look like: half a step is 0.8 % of a weight of
1, 2.5 % of one of 0.01 and 8 % of one of 0.0001.
"""

import base64
import zlib

import numpy as np

MASKED, NOT_KEPT, NOT_A_NUMBER, ZERO = 0, 1, 2, 3
BYTE_STEPS = 252


def half_codes(weights: np.ndarray) -> np.ndarray:
    """uint16 codes of float16 weights that are at least 0."""
    # abs: a weight of -0.0 has the sign bit set.
    codes = np.abs(weights.astype(np.float16)).view(np.uint16) + np.uint16(ZERO)
    return np.where(np.isnan(weights), np.uint16(NOT_A_NUMBER), codes)


def byte_codes(weights: np.ndarray) -> np.ndarray:
    """uint8 codes of weights from 0 to 1; more than 1 becomes 1."""
    numbers = np.nan_to_num(weights.astype(np.float32), nan=0.0).clip(0, 1)
    codes = (ZERO + np.rint(BYTE_STEPS * np.sqrt(np.sqrt(numbers)))).astype(np.uint8)
    return np.where(np.isnan(weights), np.uint8(NOT_A_NUMBER), codes)


def packed(array: np.ndarray) -> str:
    """The bytes (row by row, little-endian) as raw deflate in base64, which the page undoes."""
    deflate = zlib.compressobj(level=6, wbits=-15)
    data = deflate.compress(np.ascontiguousarray(array).tobytes()) + deflate.flush()
    return base64.b64encode(data).decode("ascii")
