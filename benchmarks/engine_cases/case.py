"""What a measurement of the engines consists of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

Run = Callable[[], object]
"""One timed call."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Ours and the peers on one problem.

    name: the problem and its sizes. backward: whether the call computes gradients too.
    ours, peers: make a call ready, compiling it if need be, and return it; a peer that is not installed raises
        ImportError.
    targets: how many times faster than each peer ours is meant to be.
    products: floating-point operations of the matrix products that no implementation can avoid.
    tanhs: numbers of tanh that no implementation can avoid, recomputation for the backward pass included.
    """

    name: str
    backward: bool
    ours: Callable[[], Run]
    peers: dict[str, Callable[[], Run]]
    targets: dict[str, float] = field(default_factory=dict)
    products: float = 0.0
    tanhs: float = 0.0


def peak_kilobytes() -> int:
    """The most memory that this process has had so far. (`ru_maxrss` begins with the parent's.)"""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0])


def ready(compute: Callable[..., Tensor], tensors: Sequence[Tensor], *, backward: bool) -> Run:
    """A call of compute(*tensors), with the gradients of them all or without any."""
    if not backward:
        return torch.inference_mode()(lambda: compute(*tensors))
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    upstream = torch.randn_like(compute(*leaves))

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        compute(*leaves).backward(upstream)

    return run
