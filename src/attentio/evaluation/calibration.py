"""How far a model's own probability tells whether an output is right, and one temperature that makes it tell more."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from attentio.errors import AttentioError

BINS = 10
_HALVINGS = 100


class Calibration(NamedTuple):
    """confidence = P(output) ** (1 / temperature): how probable it is that the whole output is right.

    lines: what it was fitted on, of which `right` were right. error_before, error_after: `calibration_error` on the
    same lines, of temperature 1 and of this one.
    """

    temperature: float
    lines: int
    right: int
    error_before: float
    error_after: float

    def confidence(self, log_prob: float) -> float:
        """Of an output whose probability has this natural logarithm."""
        return math.exp(log_prob / self.temperature)


def calibrate(log_probs: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The temperature T that makes what happened most probable: P ** (1/T) for right outputs, 1 - P ** (1/T) for wrong.

    Args:
        log_probs: natural logarithm of the probability that the model gives to each output and its end.
        right: whether it is.

    Raises:
        AttentioError: all outputs are right, or none is; then every temperature could be bettered.

    Reference: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, for whole outputs and without
        the normaliser, which a sum over all outputs would be.
    """
    given, hits = np.minimum(np.array(log_probs, dtype=np.float64), -1e-9), np.array(right, dtype=bool)
    if hits.all() or not hits.any():
        count = f"{len(hits):,}"
        raise AttentioError(
            (f"all {count} outputs equal a reference" if hits.any() else f"none of {count} outputs equals a reference")
            + "; confidence is calibrated on right and wrong ones, give --data with both"
        )
    low, high = -12.0, 12.0  # of the logarithm of 1 / T; the slope grows with 1 / T, since the loss is convex in it
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(math.exp(middle), given, hits) < 0 else (low, middle)
    temperature = math.exp(-(low + high) / 2)
    before, after = (calibration_error(np.exp(given / one), hits) for one in (1.0, temperature))
    return Calibration(temperature, len(hits), int(hits.sum()), before, after)


def calibration_error(confidences: Float[np.ndarray, "lines"], right: Bool[np.ndarray, "lines"]) -> float:
    """Expected calibration error, from 0 to 1: |share right - mean confidence| in ten bins of confidence, weighted.

    Reference: Naeini et al. 2015; Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    off = np.bincount(bins, weights=right.astype(np.float64) - confidences, minlength=BINS)
    return float(np.abs(off).sum() / len(right))


def _slope(inverse: float, log_probs: Float[np.ndarray, "lines"], right: Bool[np.ndarray, "lines"]) -> float:
    """Of the negative log-likelihood, by 1 / T."""
    wrong = log_probs[~right]
    with np.errstate(over="ignore"):  # what overflows is 0 in the quotient
        return float((wrong / np.expm1(-inverse * wrong)).sum() - log_probs[right].sum())
