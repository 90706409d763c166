"""Where models run: on the CPU, or on a device that this PyTorch has."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from attentio.errors import AttentioError

_WITH_FLOAT64 = ("cpu", "cuda", "meta")


def device_called(name: str | torch.device) -> torch.device:
    """The device of a name: cpu, cuda, cuda:1, mps, ..; `auto` is a CUDA device where there is one, else the CPU.

    MPS is never taken unasked: it has no float64, and rounds otherwise than the CPU.

    Raises:
        AttentioError: this PyTorch has no such device.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    remedy = 'give --device cpu, in Python device="cpu"'
    try:
        device = torch.device(name)
        module = torch.get_device_module(device)
    except (RuntimeError, ValueError):  # no name of a device, or one of something else, as meta
        raise AttentioError(f"device {str(name)!r} is none of auto, cpu, cuda, cuda:0, .., mps; {remedy}") from None
    if not module.is_available():
        raise AttentioError(f"this PyTorch has no {device.type}; {remedy}")
    if (device.index or 0) >= (count := module.device_count()):
        devices = "device" if count == 1 else "devices, counted from 0,"
        raise AttentioError(f"this PyTorch has {count} {device.type} {devices} and no {device}; {remedy}")
    return torch.device("cuda", 0) if device == torch.device("cuda") else device


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A block in which nothing is rounded to 16 bits; meta, which has no numbers, has no autocast either."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def in_full_precision(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass on a CPU that rounds nothing to 16 bits, wherever it is called."""

    @functools.wraps(backward)
    def exact(ctx: Any, *upstream: Tensor | None) -> Any:
        with torch.autocast("cpu", enabled=False):
            return backward(ctx, *upstream)

    return exact


def for_float64(device: torch.device) -> torch.device:
    """Where float64 is computed for a device: on it, or where it has none, as MPS, on the CPU."""
    return device if device.type in _WITH_FLOAT64 else torch.device("cpu")


def as_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64, on the CPU where its device has none."""
    return tensor.to(for_float64(tensor.device)).double()
