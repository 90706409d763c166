"""A device that is not there, for tests: its tensors are kept on the CPU, and it refuses what real ones refuse.

That is float64, which MPS lacks, and tensors or random numbers of another device. Nothing of attentio knows its name.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from lightning_fabric.accelerators import ACCELERATOR_REGISTRY, CPUAccelerator
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils import backend_registration

from attentio.attention import subclasses

NAME = "standin"
_BETWEEN_DEVICES = ("_to_copy", "copy_", "_local_scalar_dense", "index", "index_put_", "_index_put_impl_", "equal")
_WITHOUT_TENSORS = (
    *("empty.memory_format", "empty_strided", "arange", "arange.start", "arange.start_step", "eye", "eye.m"),
    *("copy_", "_to_copy"),
)
"""What torch calls for a device of which it has no tensor yet; the last two in `torch.tensor(.., device=..)`."""
_LACKING = (torch.float64, torch.complex128)


class OnDevice(Tensor):
    """A tensor of the device. held: its numbers, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        if held.dtype in _LACKING:
            raise TypeError(f"the device {NAME} has no {held.dtype}")
        with torch.inference_mode(False):  # torch would give a view of a parameter a version, which such have not
            one = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                held.shape,
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=torch.device(NAME, 0),
            )
        one.held = held
        return one

    @property
    def data(self) -> "OnDevice":  # type: ignore[override]
        """The same memory, without history."""
        return OnDevice(self.held)

    @data.setter
    def data(self, other: "OnDevice") -> None:
        self.held = other.held

    def __matmul__(self, other: Tensor) -> Tensor:  # torch makes such a product of another in place
        return (
            torch.mm(self[None], other).squeeze(0) if (self.ndim, other.ndim) == (1, 2) else torch.matmul(self, other)
        )

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, *args, **(kwargs or {}))


def _run(function: Any, *args: Any, **kwargs: Any) -> Any:
    name = function.overloadpacket.__name__
    flat = pytree.tree_leaves((args, kwargs))
    tensors = [each for each in flat if isinstance(each, Tensor)]
    here = {id(each.held): each for each in tensors if isinstance(each, OnDevice)}
    if name not in _BETWEEN_DEVICES and here and any(not isinstance(one, OnDevice) and one.ndim for one in tensors):
        raise RuntimeError(f"{name}: all tensors must be on the same device, got the CPU and {NAME}")
    if here and any(isinstance(each, torch.Generator) for each in flat):
        raise RuntimeError(f"{name}: a random generator of the CPU for a tensor of {NAME}")
    wanted = kwargs.get("device")
    made_here = bool(here) if wanted is None else torch.device(wanted).type == NAME
    if wanted is not None and made_here:
        kwargs["device"] = torch.device("cpu")
    if made_here and kwargs.get("dtype") in _LACKING:
        raise TypeError(f"the device {NAME} has no {kwargs['dtype']}")
    args, kwargs = pytree.tree_map_only(OnDevice, lambda one: one.held, (args, kwargs))
    kwargs.pop("pin_memory", None)
    found = _OF_DEVICES.get(name, function)(*args, **kwargs)
    if name == "copy_":
        return tensors[0]
    if not made_here:
        return found
    assert all(one.shape == one.held.shape for one in here.values()), f"{name} has resized a tensor"
    return pytree.tree_map_only(Tensor, lambda one: here[id(one)] if id(one) in here else _here(one), found)


def _lstm_cell(inputs: Tensor, hidden: Tensor, cell: Tensor, *biases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    i, f, g, o = sum(biases, inputs + hidden).chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    new = f * cell + i * g
    return o * new.tanh(), new, torch.cat([i, f, g, o], dim=1)


def _lstm_cell_backward(
    grad_hidden: Tensor, grad_new: Tensor | None, cell: Tensor, new: Tensor, gates: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, dim=1)
    grad = grad_hidden * o * (1 - new.tanh() ** 2) + (0 if grad_new is None else grad_new)
    of_gates = [grad * g * i * (1 - i), grad * cell * f * (1 - f), grad * i * (1 - g**2)]
    found = torch.cat([*of_gates, grad_hidden * new.tanh() * o * (1 - o)], dim=1)
    return found, grad * f, found.sum(0)


_OF_DEVICES = {
    "_thnn_fused_lstm_cell": _lstm_cell,
    "_thnn_fused_lstm_cell_backward_impl": _lstm_cell_backward,
}
"""What torch calls on devices, and the CPU does not have."""


def _here(tensor: Tensor) -> Tensor:
    return tensor if isinstance(tensor, OnDevice) else OnDevice(tensor)


def _operator(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


class _Module(backend_registration._DummyBackendModule):
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


class _Accelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Nothing to be done."""

    @staticmethod
    def name() -> str:
        return NAME


_made: list[torch.library.Library] = []


@contextlib.contextmanager
def stand_in() -> Iterator[str]:
    """The name of the device, which is there from now on: torch cannot take it back."""
    if not _made:
        backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
        _made.append(torch.library.Library("aten", "IMPL"))
        for name in _WITHOUT_TENSORS:
            _made[0].impl(name, partial(_run, _operator(name)), "PrivateUse1")
        ACCELERATOR_REGISTRY.register(NAME, _Accelerator)
    plain = subclasses.is_plain  # on a real device tensors are of no class of their own
    subclasses.is_plain = lambda tensor: isinstance(tensor, OnDevice) or plain(tensor)
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # a module's parameters stay the same objects
    try:
        yield NAME
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)
        subclasses.is_plain = plain
