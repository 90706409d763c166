"""A model run in float64 altogether, so that what moves is not rounding."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, no_type_check

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from attentio.copies import copy_of
from attentio.devices import for_float64
from attentio.process_wide import while_needed

LARGEST = 300_000_000
"""Parameters of the largest model that is copied into float64."""


def can_be_exact(model: nn.Module) -> bool:
    """Whether all its numbers are of ordinary floating-point types, and it is not too large."""
    tensors = [*model.parameters(), *model.buffers()]
    plain = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64, torch.bool}
    return all(one.dtype in plain for one in tensors) and sum(one.numel() for one in tensors) <= LARGEST


def where_float64_is(model: nn.Module, example: Any) -> tuple[nn.Module, Any]:
    """The model and its example, or copies on the CPU where their device has no float64, as MPS."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    where = for_float64(device)
    return (model, example) if where == device else moved(copy_of(model), example, where)


def moved(model: nn.Module, example: Any, device: torch.device) -> tuple[nn.Module, Any]:
    """The model, which is the same object, and its example on a device."""
    return model.to(device), tree_map_only(Tensor, lambda tensor: tensor.to(device), example)


@contextmanager
def in_float64() -> Iterator[None]:
    """New floats are float64, and so is what asks for float32 by name, as models do in norms and rotations."""
    with _float64_by_default(), _NoFloat32():
        yield


def _make_float64_default() -> ExitStack:
    undo = ExitStack()
    undo.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)
    return undo


_float64_by_default = while_needed(_make_float64_default)


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
