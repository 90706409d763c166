"""How far a score may be off by the choice of the sequences it was measured on: they are drawn again and again."""

import numpy as np
from jaxtyping import Float

SEED = 12345
"""Of the draws, and sacreBLEU's: the same data give the same interval, and two models are drawn the same sequences."""
MOST = 1000  # resamples
MOST_DRAWN = 5_000_000  # sequences in all of them: sacreBLEU holds all at once
FEWEST = 100  # resamples that show a 95% interval

Counts = Float[np.ndarray, "sequences 2"]
"""Of each sequence what is counted (errors, or hits), and of how many."""


def resamples_of(sequences: int) -> int:
    """How often so many sequences are drawn again; 0 for so many that a resample hardly differs from them."""
    resamples = min(MOST, MOST_DRAWN // max(sequences, 1))
    return resamples if resamples >= FEWEST else 0


def rate(counts: Counts) -> float:
    """In per cent. Where nothing could be right or wrong, each error counts as a whole one."""
    counted, of = counts.sum(axis=0)
    return float(100 * counted / max(of, 1))


def resampled(counts: Counts, resamples: int) -> Float[np.ndarray, " resamples"]:
    """The rate of each resample: as many sequences, drawn with replacement."""
    draws = np.random.default_rng(SEED)
    size = len(counts)
    return np.array([rate(counts[draws.integers(size, size=size)]) for _ in range(resamples)])


def margin(counts: Counts, resamples: int) -> float:
    """Half the width of the interval that holds 95% of the resamples' rates."""
    low, high = np.quantile(resampled(counts, resamples), (0.025, 0.975))
    return float(high - low) / 2


def margin_of_share(counts: Counts) -> float:
    """Half the width of the 95% interval of a share, such as of right outputs, which is not 0 where all are right.

    Reference: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    counted, of = counts.sum(axis=0)
    share, z = counted / of, 1.96
    return float(100 * z / (1 + z**2 / of) * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2)))


def p_value(ours: Counts, theirs: Counts, resamples: int) -> float:
    """How often resamples differ from their mean by no less than the two rates do from each other.

    Reference: Koehn 2004, section 4, with one added to both counts as in sacreBLEU, so that it is never 0.
    """
    differences = resampled(ours, resamples) - resampled(theirs, resamples)
    beyond = np.abs(differences - differences.mean()) >= abs(rate(ours) - rate(theirs))
    return float((beyond.sum() + 1) / (resamples + 1))
