"""What runs the model under examination: a copy of it, under the same conditions every time."""

import random
import warnings
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from attentio.copies import copy_of
from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.inputs import Inputs
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.precision import can_be_exact, in_float64
from attentio.process_wide import as_written

_Given = ParamSpec("_Given")
_Measured = TypeVar("_Measured")


class Subject:
    """A copy of the model in evaluation mode, in float64 where that works.

    model: the copy. exact: whether it is in float64.
    inputs: the example, by name. base: the outputs, by path, on the example itself.
    tolerance: relative difference above which an output has moved.
    measured: results of `measured_once`.

    Raises:
        ValueError: the model does not run on the example.
    """

    def __init__(self, model: nn.Module, example: Any) -> None:
        self._original = model
        self.inputs = Inputs(model, example)
        self.measured: dict[Hashable, Any] = {}
        self.exact = can_be_exact(model)
        self.base = self._copy_and_run()
        self.tolerance = 1e-9 if self.exact else 1e-4

    def fresh(self) -> nn.Module:
        """One more copy, of which nothing was asked yet."""
        model = copy_of(self._original).eval()
        return model.double() if self.exact else model

    def _copy_and_run(self) -> dict[str, Tensor]:
        for exact in (True, False) if self.exact else (False,):
            self.exact = exact
            self.model = self.fresh()
            try:
                base = dict(flatten(self.call()))
                if exact and any(tensor.dtype != torch.float64 for tensor in base.values()):
                    continue  # something in it insists on another type
                return base
            except Exception as error:
                if not exact:
                    raise ValueError(
                        f"the model does not run on example_inputs ({_shapes(self.inputs.values)}): "
                        f"{type(error).__name__}: {error}"
                    ) from error
        raise AssertionError

    def copied(self, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """The example with some inputs replaced by `values`: copies that a model may write into, in its precision."""
        return self.inputs.copied({**self.inputs.values, **(values or {})}, exact=self.exact)

    def call(
        self,
        values: dict[str, Any] | None = None,
        *,
        model: nn.Module | None = None,
        extra: dict[str, Any] | None = None,
        seed: int = 0,
        grad: bool = False,
    ) -> Any:
        """What the model returns, as it returns it, with some inputs replaced by `values`.

        Args:
            model: run in place of the copy, such as another copy in training mode.
            extra: keyword arguments that the example does not have.
        """
        called = self.model if model is None else model
        return self.reproducibly(
            lambda: self.inputs.call(called, self.copied(values), **(extra or {})), seed=seed, grad=grad
        )

    def reproducibly(self, action: Callable[[], Any], *, seed: int = 0, grad: bool = False) -> Any:
        """Run something with the copy; its random numbers are those of `seed`, and the caller's state stays."""
        state = random.getstate()
        try:
            with torch.random.fork_rng(), warnings.catch_warnings(), torch.set_grad_enabled(grad), as_written():
                warnings.simplefilter("ignore")
                # `torch.manual_seed` also notes, with a stack, how to seed each device that is not there: 3 ms a run.
                (torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed)(seed)
                random.seed(seed)
                if not self.exact:
                    return action()
                with in_float64():
                    return action()
        finally:
            random.setstate(state)

    def run(
        self, values: dict[str, Any] | None = None, *, model: nn.Module | None = None, seed: int = 0, what: str = ""
    ) -> dict[str, Tensor]:
        """The outputs by path. `what` says what is new about the inputs, for the case that the model refuses them.

        Raises:
            Skip: the model raised.
        """
        try:
            return dict(flatten(self.call(values, model=model, seed=seed)))
        except Exception as error:
            message = str(error).strip().split("\n")[0][:200]
            raise Skip(f"the model raised {type(error).__name__} {what}: {message}") from error


def measured_once(
    measure: Callable[Concatenate[Subject, _Given], _Measured],
) -> Callable[Concatenate[Subject, _Given], _Measured]:
    """For what several checks look at: measured when first asked for, then kept with the subject."""

    @wraps(measure)
    def measured(subject: Subject, /, *given: _Given.args, **named: _Given.kwargs) -> _Measured:
        key = (measure, given, tuple(named.items()))
        if key not in subject.measured:
            subject.measured[key] = measure(subject, *given, **named)
        return subject.measured[key]

    return measured


def _shapes(values: dict[str, Any]) -> str:
    return ", ".join(f"{k}: {list(v.shape) if isinstance(v, Tensor) else v!r}" for k, v in values.items())
