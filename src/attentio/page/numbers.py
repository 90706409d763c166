"""Attention weights as the small integers that a page keeps and draws.

A weight becomes a code. Codes are in the order of the weights, so that the page finds the largest of many cells,
and the colour of each, without decoding. The lowest codes are not numbers:

    0 masked    1 not kept (beyond the largest k)    2 not a number    3, 4, ..  weights from 0 upwards

`half` codes are the bits of the float16 weight plus 3: nothing is lost of what was captured. `byte` codes take half
the room: code = 3 + round(252 * weight ** (1/4)). The fourth root spreads the error over what attention weights look
like: at most 0.8 % of a weight of 1, 2.5 % of one of 0.01 and 8 % of one of 0.0001. `coarse` codes are every sixth of
these: six times the error, and less than half of the size once they are packed.
"""

import base64
import zlib
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

MASKED, NOT_KEPT, NOT_A_NUMBER, ZERO = 0, 1, 2, 3
BYTE_STEPS = 252
COARSER = 6
NEXT_TO_NOTHING = 8
"""Coarse weights below this part of an even share are 0: about 1 % of a model's attention, and half of its size."""
THUMB = 64  # cells on a side, of the small pictures of large matrices

Coding = Literal["half", "byte", "coarse"]
Codes = np.ndarray

# The code of each float16, by its bits; those of negative numbers (and -0) are taken for those of positive ones.
_HALVES = np.abs(np.arange(2**16, dtype=np.uint16).view(np.float16))
_NAN = np.isnan(_HALVES)
_ROOTS = np.nan_to_num(_HALVES.astype(np.float64), nan=0.0).clip(0, 1) ** 0.25
_CODES = {
    "half": np.where(_NAN, np.uint16(NOT_A_NUMBER), _HALVES.view(np.uint16) + np.uint16(ZERO)),
    "byte": np.where(_NAN, NOT_A_NUMBER, ZERO + np.rint(BYTE_STEPS * _ROOTS)).astype(np.uint8),
    "coarse": np.where(_NAN, NOT_A_NUMBER, ZERO + COARSER * np.rint(BYTE_STEPS / COARSER * _ROOTS)).astype(np.uint8),
}


def codes_of(weights: Tensor, coding: Coding) -> Codes:
    """uint16 or uint8 codes of float16 weights, all from 0 on, in their shape."""
    return _CODES[coding][weights.numpy().view(np.uint16)]


class Kept(NamedTuple):
    """The largest weights of each row, in the order of their keys.

    codes, indices: [q, kept]. share: what they sum to, of what all weights sum to.
    """

    codes: Codes
    indices: np.ndarray
    share: float


def largest(weights: Tensor, count: int, coding: Coding) -> Kept:
    """The `count` largest weights of each row of [q, k] weights."""
    values, indices = weights.float().topk(count, dim=-1)
    share = float(values.nansum() / weights.float().nansum().clamp(min=1e-9))
    return kept(values.half(), indices, weights.shape[-1], coding, share)


def kept(weights: Tensor, indices: Tensor, keys: int, coding: Coding, share: float = 1.0) -> Kept:
    """Weights [q, kept] of the keys `indices`, of so many keys; -1 is no key."""
    order = indices.argsort(dim=-1)
    codes = codes_of(weights.gather(-1, order), coding)
    indices = indices.gather(-1, order)
    codes = np.where(indices.numpy() < 0, codes.dtype.type(NOT_KEPT), codes)
    # The same type for all heads of a layer, whichever keys each of them has kept: the page reads one type.
    return Kept(codes, indices.clamp(min=0).numpy().astype(np.uint16 if keys <= 2**16 else np.uint32), share)


def thumb(codes: Codes) -> Codes:
    """[q, k] codes made at most THUMB on a side; the largest of the cells that fall into one stands for them."""
    rows, columns = (_edges(size) for size in codes.shape)
    return np.maximum.reduceat(np.maximum.reduceat(codes, rows, axis=0), columns, axis=1)


def thumb_of_kept(those: Kept, keys: int) -> Codes:
    """The same of a matrix of which only some weights were kept."""
    queries = len(those.codes)
    rows, columns = _edges(queries), _edges(keys)
    small = np.full((len(rows), len(columns)), NOT_KEPT, those.codes.dtype)
    row = np.searchsorted(rows, np.arange(queries), side="right") - 1
    small[row[(those.codes == ZERO).any(axis=1)]] = ZERO  # what is not kept of a row is no more than what is
    column = np.searchsorted(columns, those.indices, side="right") - 1
    np.maximum.at(small, (row[:, None], column), those.codes)
    return small


def _edges(size: int) -> np.ndarray:
    cells = min(size, THUMB)
    return np.arange(cells) * size // cells


def packed(array: np.ndarray) -> str:
    """The bytes (row by row, little-endian) as raw deflate in base64, which the page undoes.

    Weights seldom repeat but for runs of zeros, and looking for more than runs takes five times as long for less.
    """
    deflate = zlib.compressobj(level=6, wbits=-15, strategy=zlib.Z_RLE)
    data = deflate.compress(np.ascontiguousarray(array).tobytes()) + deflate.flush()
    return base64.b64encode(data).decode("ascii")


def half(tensor: Tensor) -> np.ndarray:
    """float16 numbers as they are."""
    return tensor.detach().to("cpu", torch.float16).numpy()
