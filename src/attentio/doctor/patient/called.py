"""The model as it was written: a compiled one without its compiler, a function as a module."""

import copy
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


def as_module(model: Any) -> nn.Module:
    """What is examined of `model`.

    Raises:
        ValueError: it cannot be called, is a class, or has layers that look at the whole batch by design.
    """
    if isinstance(model, type):
        raise ValueError(
            f"model must be a module, got the class {model.__name__}; make one of it, {model.__name__}(..)"
        )
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    model = getattr(model, "_orig_mod", model)  # torch.compile(module)
    if isinstance(model, nn.Module):
        _refuse_scales_of_the_batch(model)
        return model
    model = getattr(model, "_torchdynamo_orig_callable", model)  # torch.compile(function)
    if not callable(model):
        raise ValueError(f"model must be a module or a function, got {type(model).__name__}")
    return Function(model)


def _refuse_scales_of_the_batch(model: nn.Module) -> None:
    for name, module in model.named_modules():
        dtype = getattr(getattr(module, "_packed_params", module), "dtype", None)
        if type(module).__module__.startswith("torch.ao.nn.quantized.dynamic") and dtype is torch.qint8:
            raise ValueError(
                f"{name or 'the model'} is quantised dynamically to 8 bits: its inputs have one scale for the whole "
                "batch, so that every output depends on every input; examine the model before it is quantised"
            )


class Function(nn.Module):
    """A function as a module. The modules that it holds (in its closure or object, as global names, as arguments of a
    `partial`) are its submodules: they are copied, cast and put into a mode with it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.__dict__["forward"] = function
        for name, module in _modules_of(function):
            if not any(module is one for one in self.children()):
                self.add_module(name, module)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Function":
        return Function(_copied(self.forward, memo))


def _modules_of(function: Any) -> Iterator[tuple[str, nn.Module]]:
    for name, thing in _held(function).items():
        if isinstance(thing, nn.Module):
            yield name, thing
        elif isinstance(thing, types.FunctionType | types.MethodType | functools.partial):
            yield from _modules_of(thing)


def _held(function: Any) -> dict[str, Any]:
    """What the function can reach, by name."""
    if isinstance(function, types.MethodType):
        owner = function.__self__
        return {"module": owner} if isinstance(owner, nn.Module) else dict(getattr(owner, "__dict__", {}))
    if isinstance(function, functools.partial):
        given = {f"argument_{i}": one for i, one in enumerate(function.args)} | function.keywords
        return {"function": function.func, **given}
    if isinstance(function, types.FunctionType):
        return _global_modules(function) | _closed_over(function)
    return dict(getattr(function, "__dict__", {}))


def _closed_over(function: types.FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _global_modules(function: types.FunctionType) -> dict[str, Any]:
    named = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    return {name: one for name, one in named.items() if isinstance(one, nn.Module)}


def _copied(function: Any, memo: dict[int, Any]) -> Any:
    """A function of its own copies of modules; `copy.deepcopy` takes functions as they are."""
    if not isinstance(function, types.FunctionType):
        return copy.deepcopy(function, memo)
    closed = {
        name: copy.deepcopy(one, memo) if isinstance(one, nn.Module | types.MethodType) else one
        for name, one in _closed_over(function).items()
    }
    names = copy.deepcopy(_global_modules(function), memo)
    if not names and not any(isinstance(one, nn.Module | types.MethodType) for one in closed.values()):
        return function
    cells = tuple(
        types.CellType(closed[name]) if name in closed else cell
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    )
    again = types.FunctionType(
        function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__, cells
    )
    again.__kwdefaults__ = function.__kwdefaults__
    return again
