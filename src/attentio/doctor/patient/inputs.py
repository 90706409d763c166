"""What the example inputs are: their form, what each is for by its name and shape, and which of them hold positions."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Role = Literal["sequence", "padding", "lengths", "labels", "companion", "pairs", "other"]
_TARGET = ("decoder", "tgt", "target", "trg")
_COMPANIONS = ("type", "segment", "position", "global_attention")


class Inputs:
    """The example inputs by name, in the order of the call.

    values: name of the argument -> what was given. Positional ones have the names of `forward`'s parameters.
    """

    def __init__(self, model: nn.Module, example: Any) -> None:
        several = isinstance(example, tuple | list) and not isinstance(example, PackedSequence)
        self._form = dict if isinstance(example, Mapping) else tuple if several else Tensor
        if self._form is dict:
            self.values: dict[str, Any] = dict(example)
        else:
            given = tuple(example) if self._form is tuple else (example,)
            self.values = dict(zip(_parameter_names(model, len(given)), given, strict=True))

    def restored(self, values: dict[str, Any]) -> Any:
        """`values` in the form in which the example was given: a tensor, a tuple or a dict."""
        if self._form is dict:
            return values
        return tuple(values.values()) if self._form is tuple else next(iter(values.values()))

    def call(self, model: nn.Module, values: dict[str, Any], **extra: Any) -> Any:
        """Run the model on `values` in that form, and on `extra`, by keyword."""
        return model(**values, **extra) if self._form is dict else model(*values.values(), **extra)

    def copied(self, values: dict[str, Any], *, exact: bool) -> dict[str, Any]:
        """Copies that a model may write into, floats in float64 if `exact`."""
        return {name: _copied(value, exact) for name, value in values.items()}

    def roles(self, padding: str | int | None) -> dict[str, Role]:
        """What each tensor is for, by its type, shape and name; `padding`, first, says what padding is.

        Raises:
            ValueError: `padding` is none of the inputs, or no tensor [batch, positions] or [batch].
        """
        tensors = {name: value for name, value in self.values.items() if isinstance(value, Tensor)}
        told = {} if padding is None else self._told(padding, tensors)
        return told | {name: _role(name, value) for name, value in tensors.items() if name not in told}

    def _told(self, padding: str | int, tensors: Mapping[str, Tensor]) -> dict[str, Role]:
        names = list(self.values)
        if isinstance(padding, int):
            padding = names[padding] if -len(names) <= padding < len(names) else str(padding)
        if padding not in self.values:
            raise ValueError(f"padding must be one of the example inputs {names}, got {padding!r}")
        value = tensors.get(padding)
        if value is None or value.ndim not in (1, 2):
            got = type(self.values[padding]).__name__ if value is None else f"a tensor {list(value.shape)}"
            raise ValueError(f"padding={padding!r} must be a mask [batch, positions] or lengths [batch], got {got}")
        return {padding: "lengths" if value.ndim == 1 else "padding"}


@dataclass(frozen=True)
class SequenceInput:
    """An input with positions.

    kind: "tokens": whole numbers [batch, positions]; "features": floats [batch, positions, features].
    batch_axis: 0, or 1 where positions come first.
    batch_size, length: rows and positions in the example.
    target: whether a decoder reads it.
    """

    name: str
    kind: Literal["tokens", "features"]
    batch_axis: int
    batch_size: int
    length: int
    target: bool

    @property
    def position_axis(self) -> int:
        """The axis of the positions."""
        return 1 - self.batch_axis

    def batch_first(self, value: Tensor) -> Tensor:
        """[batch, positions, ..] of an input in the model's layout; and back again."""
        return value.transpose(0, 1) if self.batch_axis == 1 else value


def is_target(name: str) -> bool:
    """Whether the name of an argument says that it belongs to the decoder."""
    return any(word in name.lower() for word in _TARGET)


def _role(name: str, value: Tensor) -> Role:
    floats = value.is_floating_point()
    if "label" in name:
        return "labels"
    if "mask" in name and value.ndim >= 2 and value.shape[-1] == value.shape[-2] and "padding" not in name:
        return "pairs" if value.ndim > 2 or not _is_padding(name, value) else "padding"
    if ("mask" in name or value.dtype == torch.bool) and value.ndim == 2:
        return "padding"
    if value.ndim == 1 and not floats and "len" in name:
        return "lengths"
    if value.ndim == 2 and any(word in name for word in _COMPANIONS):
        return "companion"
    if (value.ndim == 2 and not floats) or (value.ndim == 3 and floats):
        return "sequence"
    return "other"


def _is_padding(name: str, value: Tensor) -> bool:
    """A square [n, n] is a mask of padding only if its name says so: one row of a batch is then seldom half masked."""
    return name == "attention_mask" and not value.is_floating_point()


def _copied(value: Any, exact: bool) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(torch.float64, copy=True) if exact and value.is_floating_point() else value.clone()


def parameters_of(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """Of its `forward`; none where a built-in function does not say them."""
    try:
        return inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return {}


def _parameter_names(model: nn.Module, count: int) -> list[str]:
    parameters = [name for name, one in parameters_of(model).items() if one.kind in (0, 1)]
    return [parameters[i] if i < len(parameters) else f"argument {i}" for i in range(count)]
