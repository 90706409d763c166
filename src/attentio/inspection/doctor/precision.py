"""A model run in float64 altogether, so that what moves is not rounding."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import no_type_check

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
    """New floats are float64, and so is what asks for float32 by name, as models do in norms and rotations."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _NoFloat32():
            yield
    finally:
        torch.set_default_dtype(before)


class _NoFloat32(TorchFunctionMode):
    # It runs with every call of torch: whoever checks types at run time should not check these.
    @no_type_check
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        if any(value is torch.float32 for value in args):
            args = tuple(torch.float64 if value is torch.float32 else value for value in args)
        if kwargs:
            kwargs = {name: torch.float64 if value is torch.float32 else value for name, value in kwargs.items()}
        return func(*args, **(kwargs or {}))
