"""What is known of the model under examination: what its inputs are for, where padding is, what its outputs are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.inputs import Role, SequenceInput, is_target
from attentio.doctor.patient.outputs import Output
from attentio.doctor.patient.padding import PaddingSource

LACKING = {
    "positions": "no input [batch, positions] of whole numbers or [batch, positions, features] of floats gives an "
    "output with the same positions",
    "rows": "no axis of the batch was found",
    "padding": "nothing says what padding is: give a mask or lengths with the example inputs, or padding=",
    "loss": "there is no loss: give loss=, or labels with the example inputs",
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the caller says of the model, as the options of `diagnose`; None: not said.

    Raises:
        ValueError: an option that is of another kind.
    """

    causal: bool | None = None
    padding: str | int | None = None
    window: tuple[int, int] | None = None
    loss: Callable[[nn.Module, Any], Tensor] | None = None
    step: Callable[[nn.Module, Any, int, Any], tuple[Tensor, Any]] | None = None

    def __post_init__(self) -> None:
        window = self.window
        fits = {
            "causal": (self.causal is None or isinstance(self.causal, bool), "True, False or None"),
            "window": (window is None or _is_window(window), "(before, after), two whole numbers of at least 0"),
            "loss": (self.loss is None or callable(self.loss), "a function of the model and its inputs"),
            "step": (
                self.step is None or callable(self.step),
                "a function of the model, its inputs, position and state",
            ),
        }
        for name, (right, wanted) in fits.items():
            if not right:
                raise ValueError(f"{name} must be {wanted}, got {getattr(self, name)!r}")


def _is_window(given: object) -> bool:
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    return all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in given)


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What was told, and what was learnt from names, shapes and a few runs.

    values: the example inputs, by name. roles: what each of its tensors is for.
    sequences: the inputs with positions. batch_size: 0 where no axis of the batch was found.
    padding: for the name of a sequence, what says which of its positions are padding.
    labels_are_read: whether the decoder's input is made from labels, so that they are about no sequence of the example.
    outputs: the outputs with positions or rows. finite: whether any output holds a finite number.
    concluded: in words, what nobody had told.
    """

    told: Told
    values: dict[str, Any]
    roles: dict[str, Role]
    sequences: tuple[SequenceInput, ...]
    batch_size: int
    padding: dict[str, PaddingSource]
    finite: bool
    concluded: dict[str, str]
    labels_are_read: bool = False
    outputs: tuple[Output, ...] = ()

    def has(self, need: str) -> bool:
        """Whether there is what a check needs, a key of `LACKING`."""
        return {
            "positions": any(output.sequence for output in self.outputs),
            "rows": self.batch_size > 0 and bool(self.outputs),
            "padding": bool(self.padding),
            "loss": self.told.loss is not None or "labels" in self.roles.values(),
        }[need]

    def require(self, *needs: str) -> None:
        """Raise Skip for the first of `needs` that is not there."""
        if needs and not self.finite:
            raise Skip("no output has a finite number")
        for need in needs:
            if not self.has(need):
                raise Skip(LACKING[need])

    def sequence(self, name: str) -> SequenceInput:
        """The sequence of that name."""
        return next(one for one in self.sequences if one.name == name)

    @property
    def predicted(self) -> SequenceInput:
        """The sequence whose next element is predicted: the decoder's, or the only one."""
        return next((one for one in self.sequences if one.target), self.sequences[0])

    def real(self, sequence: SequenceInput) -> Tensor:
        """bool [batch, positions]: which positions of the example are not padding."""
        source = self.padding.get(sequence.name)
        if source is None:
            return torch.ones(sequence.batch_size, sequence.length, dtype=torch.bool)
        return source.real(self.values, sequence)

    def is_about(self, name: str, sequence: SequenceInput) -> bool:
        """Whether an input [batch, positions], or [1, positions] for every row, is about this sequence."""
        if self.roles[name] == "labels" and self.labels_are_read:
            return False
        shape = tuple(self.values[name].shape[:2])
        fitting = [one for one in self.sequences if shape in ((one.batch_size, one.length), (1, one.length))]
        wants_target = is_target(name) or self.roles[name] == "labels"
        return sequence in fitting and (len(fitting) == 1 or sequence.target == wants_target)
