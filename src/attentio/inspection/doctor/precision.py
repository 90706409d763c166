"""A model run in float64 altogether, so that what moves is not rounding."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

LARGEST = 300_000_000
"""Parameters of the largest model that is copied into float64."""


def can_be_exact(model: nn.Module) -> bool:
    """Whether all its numbers are of ordinary floating-point types, and it is not too large."""
    tensors = [*model.parameters(), *model.buffers()]
    plain = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64, torch.bool}
    return all(one.dtype in plain for one in tensors) and sum(one.numel() for one in tensors) <= LARGEST


@contextmanager
def in_float64() -> Iterator[None]:
    """New floats are float64, and what asks for float32 by name gets float64: models do so in norms and rotations."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _NoFloat32():
            yield
    finally:
        torch.set_default_dtype(before)


class _NoFloat32(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        named = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **named)


def _widened(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
