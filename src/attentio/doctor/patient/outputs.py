"""What a model returns: the tensors in it, the layout of each, and how far two of them differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


def flatten(output: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The floating-point tensors of an output, named by their way in it: "logits", "0", "hidden_states.1"."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield path, output
    elif isinstance(output, Mapping):
        for name, value in output.items():
            yield from flatten(value, f"{path}.{name}".lstrip("."))
    elif isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", range(len(output)))
        for name, value in zip(names, output, strict=True):
            yield from flatten(value, f"{path}.{name}".lstrip("."))
    elif is_dataclass(output) and not isinstance(output, type):
        for one in fields(output):
            yield from flatten(getattr(output, one.name), f"{path}.{one.name}".lstrip("."))


def paired(base: dict[str, Tensor], outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of another mode under the paths of `base`: a tensor in one may be the first of a tuple in the other."""
    if any(path in outputs and outputs[path].shape == one.shape for path, one in base.items()):
        return outputs
    for path, one in base.items():
        twin = next((other for other in outputs.values() if other.shape == one.shape), None)
        if twin is not None:
            return outputs | {path: twin}
    return outputs


@dataclass(frozen=True)
class Output:
    """One output tensor.

    path: its way in the output, "" for a model that returns one tensor.
    batch_axis: 0, or 1 where positions come first.
    sequence: name of the input whose positions it has; None if it has none.
    """

    path: str
    batch_axis: int
    sequence: str | None

    def batch_first(self, tensor: Tensor) -> Tensor:
        """[batch, positions, features], or [batch, features] of an output without positions."""
        if self.sequence is None:
            return tensor.reshape(len(tensor), -1)
        tensor = tensor.transpose(0, 1) if self.batch_axis == 1 else tensor
        return tensor if tensor.ndim == 3 else tensor.unsqueeze(2)

    @property
    def title(self) -> str:
        """As it is called in evidence."""
        return self.path or "output"


def difference(before: Tensor, after: Tensor) -> Tensor:
    """Largest difference over the last axis, relative to the size (root mean square) of what was there before.

    Equal where both are NaN; infinitely different where only one is.
    """
    finite = before[before.isfinite()]
    size = finite.square().mean().sqrt().clamp(min=1e-30) if finite.numel() else before.new_ones(())
    apart = (after - before).abs() / size
    apart = torch.where(before == after, 0.0, apart)  # inf - inf
    apart = torch.where(before.isnan() & after.isnan(), 0.0, apart)
    return torch.where(apart.isnan(), float("inf"), apart).amax(dim=-1)
