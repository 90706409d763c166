"""What a model gives back: the tensors in it, which of their axes are batch and positions, and how far two differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from attentio.inspection.doctor.growth import Growth
from attentio.inspection.doctor.inputs import SequenceInput


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


@dataclass(frozen=True)
class Output:
    """One output tensor.

    path: its way in the output, "" for a model that returns one tensor.
    batch: its axis of the batch.
    sequence: name of the input whose positions it has; None if it has none.
    """

    path: str
    batch: int
    sequence: str | None

    def rows(self, tensor: Tensor) -> Tensor:
        """[batch, positions, features], or [batch, features] of an output without positions."""
        if self.sequence is None:
            return tensor.reshape(len(tensor), -1)
        tensor = tensor.transpose(0, 1) if self.batch == 1 else tensor
        return tensor if tensor.ndim == 3 else tensor.unsqueeze(2)

    @property
    def title(self) -> str:
        """As it is called in evidence."""
        return self.path or "output"


def read_outputs(
    tensors: dict[str, Tensor], sequences: tuple[SequenceInput, ...], longest: int | None, rows: int, growth: Growth
) -> list[Output]:
    """Which outputs have positions of which input (`longest`: the largest of the given lengths), or rows at least.

    Left out is what has other positions, such as attention weights, frames of a shortened signal or a cache: it has no
    results of a row as a whole; and what has rows elsewhere than at the front, as the last states of `nn.LSTM`.
    """
    found = []
    lengths = {sequence.length for sequence in sequences} | ({longest} if longest else set())
    for path, tensor in tensors.items():
        candidates = sorted(sequences, key=lambda one: one.target == ("encoder" in path))
        output = next((o for one in candidates if (o := _matched(path, tensor, one, longest, growth))), None)
        if output is None and tensor.ndim >= 1 and tensor.shape[0] == rows and growth.with_rows(path, 0):
            output = None if growth.has_positions(path, tensor, lengths) else Output(path, 0, None)
        if output is not None:
            found.append(output)
    return found


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


def _matched(path: str, tensor: Tensor, sequence: SequenceInput, longest: int | None, growth: Growth) -> Output | None:
    if tensor.ndim not in (2, 3) or "pool" in path:
        return None
    for batch in (sequence.batch, 1 - sequence.batch):
        fits = tensor.shape[batch] == sequence.rows and tensor.shape[1 - batch] in (sequence.length, longest)
        if fits and growth.with_rows(path, batch) and growth.with_positions(path, 1 - batch, sequence.name):
            return Output(path, batch, sequence.name)
    return None
