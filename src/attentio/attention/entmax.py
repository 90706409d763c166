"""Normalizations that may give a key exactly no weight: sparsemax and entmax.

    weights[j] = [(alpha - 1) scores[j] - tau]_+ ^ (1 / (alpha - 1)),    tau such that they sum to 1

alpha = 2 is sparsemax; towards alpha = 1 it becomes softmax. On the CPU, in float32, compiled loops make them
(`entmax_loops`); elsewhere plain torch operations, in which a threshold is found without gradients, and two steps of
Newton's method from there, which are differentiated, make the derivatives of the first, second and third order those
of the equation that defines it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attentio.attention.entmax_loops import in_loops, weights_in_loops

NormalizeFunction = Callable[[Tensor], Tensor]
"""A normalization: scores [batch, heads, q, k], -inf at keys that are forbidden, to weights of the same shape, each row
by itself."""

_HALVINGS = 30
"""Of an interval not longer than 1: Newton's two steps do the rest, in float64 as well."""


@dataclass(frozen=True)
class Entmax:
    """Weights between softmax (alpha 1) and sparsemax (alpha 2): keys with low scores get exactly 0.

        weights[j] = [(alpha - 1) scores[j] - tau]_+ ^ (1 / (alpha - 1))

    Args:
        alpha: from 1.01 to 2. Above 2 a weight's gradient is infinite where it leaves 0.

    Raises:
        ValueError: another alpha.

    Reference: Peters, Niculae & Martins 2019, equation 10; the threshold of 1.5 is found by its algorithm 2, that
        of other alphas by bisection, its algorithm 1.

    >>> at.Entmax()(torch.tensor([2.0, 1.0, 0.0, -2.0]))
    tensor([0.8307, 0.1693, 0.0000, 0.0000])
    >>> query, key, value = torch.randn(3, 2, 4, 5, 8).unbind()
    >>> at.attend(query, key, value, normalize=at.Entmax(1.3), mask=at.causal())
    Attended(context [2, 4, 5, 8], weights None)
    """

    alpha: float = 1.5

    def __post_init__(self) -> None:
        if not 1.01 <= self.alpha <= 2:
            raise ValueError(f"alpha must be from 1.01 to 2, got {self.alpha}; leave normalize out for softmax")

    def __call__(self, scores: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k"]:
        """Weights of each row; -inf gets none."""
        return _weights(scores, self.alpha)


@dataclass(frozen=True)
class Sparsemax:
    """The distribution nearest to the scores: weights[j] = [scores[j] - tau]_+, the case alpha = 2 of `Entmax`.

    Reference: Martins & Astudillo 2016, equation 2 and algorithm 1.

    >>> at.Sparsemax()(torch.tensor([1.0, 0.5, 0.2, -2.0]))
    tensor([0.7500, 0.2500, 0.0000, 0.0000])
    >>> query, key, value = torch.randn(3, 2, 4, 5, 8).unbind()
    >>> at.explain(query, key, value, normalize=at.Sparsemax())
    Explanation(reference: ...)
    """

    def __call__(self, scores: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k"]:
        """Weights of each row; -inf gets none."""
        return _weights(scores, 2.0)


def alpha_of(function: NormalizeFunction | None) -> float | None:
    """1 for softmax, 2 for sparsemax; None for a function that is no entmax."""
    if function is None:
        return 1.0
    if isinstance(function, Sparsemax):
        return 2.0
    return function.alpha if isinstance(function, Entmax) else None


def _weights(scores: Tensor, alpha: float) -> Tensor:
    if scores.shape[-1] == 0:
        return scores
    if in_loops(scores):
        return weights_in_loops(scores, alpha)
    empty = (scores.detach() == float("-inf")).all(dim=-1, keepdim=True)
    return _plain(scores.masked_fill(empty, 0.0), alpha).masked_fill(empty, 0.0)


def _plain(scores: Tensor, alpha: float) -> Tensor:
    # The largest score decides nothing but where tau lies: between -1 and 0 once it is 0 itself.
    x = (alpha - 1) * (scores - scores.detach().amax(dim=-1, keepdim=True))
    tau = _threshold(x.detach(), alpha)
    power = 1 / (alpha - 1)
    for _ in range(2):
        above, seen = _above(x, tau)
        mass = _where(seen, above**power).sum(dim=-1, keepdim=True)
        slope = _where(seen, power * above ** (power - 1)).sum(dim=-1, keepdim=True)
        tau = tau + (mass - 1) / slope
    above, seen = _above(x, tau)
    return _where(seen, above**power)


def _above(x: Tensor, tau: Tensor) -> tuple[Tensor, Bool[Tensor, "*batch k"]]:
    """x - tau and where it is above 0; 1 elsewhere, whose powers have finite derivatives. NaN counts as above."""
    seen = ~(x <= tau)
    return torch.where(seen, x - tau, 1.0), seen


def _where(seen: Tensor, numbers: Tensor) -> Tensor:
    return torch.where(seen, numbers, 0.0)


def _threshold(x: Float[Tensor, "*batch k"], alpha: float) -> Float[Tensor, "*batch 1"]:
    """tau, from x whose largest is 0 in every row."""
    x = x.clamp(min=-1.0)  # nobody further below the largest has a weight
    if alpha not in (1.5, 2.0):
        return _by_bisection(x, 1 / (alpha - 1))
    ordered = x.sort(dim=-1, descending=True).values
    count = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    total = ordered.cumsum(dim=-1)
    if alpha == 2.0:
        candidates = (total - 1) / count
        size = (ordered > candidates).sum(dim=-1, keepdim=True)
    else:
        mean = total / count
        spread = ordered.square().cumsum(dim=-1) - count * mean.square()
        candidates = mean - ((1 - spread) / count).clamp(min=0.0).sqrt()
        size = (ordered >= candidates).sum(dim=-1, keepdim=True)
    return candidates.gather(-1, (size - 1).clamp(min=0))  # clamped: a row of NaN has nobody


def _by_bisection(x: Tensor, power: float) -> Tensor:
    """Between -1, where the largest alone has weight 1, and where k such keys would have 1 together."""
    low = torch.full_like(x[..., :1], -1.0)
    step = 1 - x.shape[-1] ** (-1 / power)
    for _ in range(_HALVINGS):
        step /= 2
        middle = low + step
        enough = (x - middle).clamp(min=0.0).pow(power).sum(dim=-1, keepdim=True) >= 1
        low = torch.where(enough, middle, low)
    return low
