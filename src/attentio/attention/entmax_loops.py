"""Sparsemax and entmax by compiled loops, on the CPU: the weights of `entmax` without its passes over all scores.

A gradient needs the weights alone: J = diag(s) - s s^T / sum(s), where s = weights ^ (2 - alpha), 0 where they are 0.

Reference: Peters, Niculae & Martins 2019, section 3.2.
"""

import functools
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attentio.attention.transforms import plain_only, recording

_SMALL = 1 << 15
"""Scores up to which one thread is faster than several."""


def in_loops(scores: Tensor) -> bool:
    """Whether there are loops for these scores."""
    return (
        scores.device.type == "cpu"
        and scores.dtype == torch.float32
        and scores.numel() > 0
        and not plain_only()
        and _kernels() is not None
    )


def weights_in_loops(scores: Float[Tensor, "*batch k"], alpha: float) -> Float[Tensor, "*batch k"]:
    """The weights of each row, of scores that `in_loops` is true of; a row of only -inf has none."""
    if torch.is_grad_enabled() and scores.requires_grad:
        weights: Tensor = _Weights.apply(scores, alpha)
        return weights
    return _weights(scores, alpha)


class _Weights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, alpha: float) -> Tensor:
        weights = _weights(scores, alpha)
        ctx.save_for_backward(weights)
        ctx.alpha = alpha
        return weights

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        (weights,) = ctx.saved_tensors
        if recording(upstream):  # which is differentiated again, through the weights
            return _recorded(weights, upstream, ctx.alpha), None
        found = torch.empty_like(weights)
        _run("gradients", weights, upstream.contiguous(), alpha=ctx.alpha, out=found)
        return found, None


def _weights(scores: Tensor, alpha: float) -> Tensor:
    given = scores.detach().contiguous()
    found = torch.empty_like(given)
    _run("weights", given, alpha=alpha, out=found)
    return found


def _recorded(weights: Tensor, upstream: Tensor, alpha: float) -> Tensor:
    """The gradient of the scores in operations that autograd can differentiate."""
    seen = ~(weights <= 0)
    s = torch.where(seen, torch.where(seen, weights, 1.0) ** (2 - alpha), 0.0)
    mean = (s * upstream).sum(-1, keepdim=True) / s.sum(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)
    return s * (upstream - mean)


def _run(name: str, *tensors: Tensor, alpha: float, out: Tensor) -> None:
    kernels = _kernels()
    assert kernels is not None
    *rows, found = (tensor.view(-1, tensor.shape[-1]).numpy() for tensor in (*tensors, out))
    threads = torch.get_num_threads() if out.numel() > _SMALL else 1
    kernels.run(getattr(kernels, name), *rows, np.float32(alpha - 1), found, threads=threads)


@functools.cache
def _kernels() -> ModuleType | None:
    """The compiled loops; None, and once a warning, where there can be none."""
    try:
        from attentio.attention.kernels import entmax

        entmax.start()
    except Exception as error:
        warnings.warn(
            f"sparsemax and entmax run in plain torch, several times slower: numba cannot compile here ({error!r})",
            stacklevel=2,
        )
        return None
    return entmax
