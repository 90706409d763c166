"""The model under examination: a copy of it, run on changed inputs."""

import copy
import random
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from attentio.inspection.doctor import layout
from attentio.inspection.doctor.diagnosis import Skip
from attentio.inspection.doctor.growth import growth_of
from attentio.inspection.doctor.inputs import Inputs, SequenceInput, is_target
from attentio.inspection.doctor.outputs import Output, difference, flatten, read_outputs
from attentio.inspection.doctor.padding import Padding, read_padding
from attentio.inspection.doctor.precision import can_be_exact, in_float64

LACKING = {
    "positions": "no input [batch, positions] of whole numbers or [batch, positions, features] of floats gives an "
    "output with the same positions",
    "rows": "no axis of the batch was found",
    "padding": "nothing says what padding is: give a mask or lengths with the example inputs, or padding=",
    "loss": "there is no loss: give loss=, or labels with the example inputs",
}


class Patient:
    """A copy of the model in evaluation mode, what its inputs and outputs are, and a way to run it on others.

    model: the copy, in float64 if `exact`.
    inputs: the example, by name. roles: what each of its tensors is for.
    sequences: the inputs with positions. outputs: the outputs with positions or rows.
    base: the outputs, by path, on the example itself.
    padding: for the name of a sequence, what says which of its positions are padding.
    sees_future: names of sequences that were found to reach earlier outputs, and must not.
    tolerance: relative difference above which an output has moved.
    runs: how often the model has been run.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Any,
        *,
        causal: bool | None = None,
        padding: str | int | None = None,
        window: tuple[int, int] | None = None,
        loss: Callable[[nn.Module, Any], Tensor] | None = None,
        step: Callable[[nn.Module, Any, int, Any], tuple[Tensor, Any]] | None = None,
    ) -> None:
        self.causal, self.window, self.loss, self.step = causal, window, loss, step
        self.concluded: dict[str, str] = {}
        self.sees_future: set[str] = set()
        self.runs = 0
        self._remembered: dict[Hashable, Any] = {}
        self.inputs = Inputs(model, example, padding)
        self.roles = self.inputs.roles()
        self.original = model
        self.exact = can_be_exact(model)
        self.base = self._admit(model)
        self.tolerance = 1e-9 if self.exact else 1e-4
        self._find_labels()
        self.sequences = self._find_sequences()
        self.padding: dict[str, Padding] = read_padding(self.model, self.inputs, self.roles, self.sequences)
        longest = next((one.longest for one in self.padding.values() if one.form == "lengths"), None)
        self.rows = self._count_rows()
        self.outputs: list[Output] = read_outputs(
            self.base, self.sequences, longest, self.rows, growth_of(self, longest)
        )
        self._conclude()

    def _admit(self, model: nn.Module) -> dict[str, Tensor]:
        """Copy the model and run it on the example, in float64 if that works."""
        for exact in (True, False) if self.exact else (False,):
            self.exact = exact
            self.model = copy.deepcopy(model).eval()
            if exact:
                self.model.double()
            try:
                base = dict(flatten(self.call()))
                if exact and any(tensor.dtype != torch.float64 for tensor in base.values()):
                    continue  # something in it insists on another type
                return base
            except Exception as error:
                if not exact:
                    raise ValueError(
                        f"the model does not run on example_inputs ({_shapes(self.inputs.values)}): {error}"
                    ) from error
        raise AssertionError

    def call(self, values: dict[str, Any] | None = None, *, seed: int = 0, grad: bool = False) -> Any:
        """What the model returns, as it returns it, with some inputs replaced by `values`."""
        return self.within(
            lambda: self.inputs.call(self.model, {**self.inputs.values, **(values or {})}, exact=self.exact),
            seed=seed,
            grad=grad,
        )

    def within(self, action: Callable[[], Any], *, seed: int = 0, grad: bool = False) -> Any:
        """Run something with the copy under the same conditions every time: its random numbers are those of `seed`."""
        self.runs += 1
        state = random.getstate()
        try:
            with torch.random.fork_rng(), warnings.catch_warnings(), torch.set_grad_enabled(grad):
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

    def run(self, values: dict[str, Any] | None = None, *, seed: int = 0, what: str = "") -> dict[str, Tensor]:
        """The outputs by path. `what` says what is new about the inputs, for the case that the model refuses them."""
        try:
            return dict(flatten(self.call(values, seed=seed)))
        except Exception as error:
            message = str(error).strip().split("\n")[0][:200]
            raise Skip(f"the model raised {type(error).__name__} {what}: {message}") from error

    def require(self, *needs: str) -> None:
        """Raise Skip for the first of `needs` that is not there."""
        there = {
            "positions": any(output.sequence for output in self.outputs),
            "rows": self.rows > 0 and bool(self.outputs),
            "padding": bool(self.padding),
            "loss": self.loss is not None or any(role == "labels" for role in self.roles.values()),
        }
        if needs and not any(bool(tensor.isfinite().any()) for tensor in self.base.values()):
            raise Skip("no output has a finite number")
        for need in needs:
            if not there[need]:
                raise Skip(LACKING[need])

    def sequence(self, name: str | None) -> SequenceInput:
        """The sequence of that name."""
        return next(one for one in self.sequences if one.name == name)

    def real(self, sequence: SequenceInput) -> Tensor:
        """bool [batch, positions]: which positions of the example are not padding."""
        padding = self.padding.get(sequence.name)
        if padding is None:
            return torch.ones(sequence.rows, sequence.length, dtype=torch.bool)
        return padding.real(self.inputs.values, sequence)

    def changed(self, sequence: SequenceInput, where: Tensor, *, draw: int = 1) -> Tensor:
        """The input with other contents where `where` [batch, positions] is true; `draw` says which others."""
        value = self.inputs.values[sequence.name]
        where = (where.T if sequence.batch == 1 else where).to(value.device)
        if sequence.kind == "features":
            generator = torch.Generator().manual_seed(draw)
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)
            spread = value.std().clamp(min=1e-3)
            return torch.where(where.unsqueeze(2), value + spread * noise, value)
        ids = self.usual_ids(sequence)
        place = torch.searchsorted(ids, value.contiguous().clamp(max=int(ids[-1])))
        other = ids[(place + draw) % len(ids)]
        other = torch.where(other == value, ids[(place + draw + 1) % len(ids)], other).to(value.dtype)
        return torch.where(where, other, value)

    def picked(self, rows: Tensor) -> dict[str, Any]:
        """The inputs made of these rows of the example."""
        picked = {}
        for name in self.roles:
            value = self.inputs.values[name]
            sequence = next((one for one in self.sequences if one.name == name), None)
            axis = 0 if sequence is None else sequence.batch
            if self.roles[name] == "pairs" and value.ndim == 3 and len(value) % self.rows == 0:
                heads = len(value) // self.rows  # [batch * heads, q, k]
                picked[name] = value.unflatten(0, (self.rows, heads))[rows].flatten(0, 1)
            elif self.roles[name] != "pairs" and value.ndim and value.shape[axis] == self.rows:
                picked[name] = value.index_select(axis, rows.to(value.device))
        return picked

    def is_about(self, name: str, sequence: SequenceInput) -> bool:
        """Whether an input [batch, positions] is about this sequence."""
        shape = tuple(self.inputs.values[name].shape[:2])
        if shape != (sequence.rows, sequence.length):
            return False
        same = [one for one in self.sequences if (one.rows, one.length) == shape]
        wants_target = is_target(name) or self.roles[name] == "labels"
        return len(same) == 1 or sequence.target == wants_target

    def remember(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What `find` gave the first time: several checks look at the same thing."""
        if key not in self._remembered:
            self._remembered[key] = find()
        return self._remembered[key]

    def differences(self, after: dict[str, Tensor]) -> dict[Output, Tensor]:
        """For outputs of unchanged shape: how far each position [batch, positions], or row [batch], has moved."""
        return {
            output: difference(output.rows(self.base[output.path]), output.rows(after[output.path]))
            for output in self.outputs
            if output.path in after and after[output.path].shape == self.base[output.path].shape
        }

    def usual_ids(self, sequence: SequenceInput) -> Tensor:
        """Ids that stand at real positions, sorted: those are surely in the vocabulary and mean nothing special."""
        value = self.inputs.values[sequence.name]
        padding = self.padding.get(sequence.name)
        real = self.real(sequence).to(value.device)
        ids = value[real.T if sequence.batch == 1 else real].unique()
        if padding is not None and padding.token is not None:
            ids = ids[ids != padding.token]
        if len(ids) < 2:
            raise Skip(f"{sequence.name} has fewer than two different tokens: give an example with more")
        return ids

    def _find_labels(self) -> None:
        """Tokens beside other tokens that move nothing but the loss are labels, whatever their name."""
        tokens = [
            name
            for name, role in self.roles.items()
            if role == "sequence" and not self.inputs.values[name].is_floating_point()
        ]
        for name in tokens[1:]:
            try:
                after = self.run({name: self.inputs.values[name].flip(0, 1)})
            except Skip:
                continue
            results = {path: one for path, one in self.base.items() if one.ndim}
            still = all(path in after and torch.equal(one, after[path]) for path, one in results.items())
            if still and any(one.ndim > 1 for one in results.values()):
                self.roles[name] = "labels"
                self.concluded[name] = "labels: they change the loss alone"

    def _find_sequences(self) -> tuple[SequenceInput, ...]:
        names = [name for name, role in self.roles.items() if role == "sequence"]
        batch = layout.batch_axis(self, names) if names else 0
        targets = [name for name in names if is_target(name)]
        if len(names) > 1 and not targets:
            targets = ["query"] if {"query", "key"} <= set(names) else names[1:2]
        found = []
        for name in names:
            shape = self.inputs.values[name].shape
            kind = "features" if self.inputs.values[name].is_floating_point() else "tokens"
            found.append(
                SequenceInput(name, kind, batch, shape[batch], shape[1 - batch], len(names) > 1 and name in targets)  # type: ignore[arg-type]
            )
        return tuple(found)

    def _count_rows(self) -> int:
        """Rows of the batch; of inputs without positions the first axis is taken, 0 where they disagree."""
        if self.sequences:
            return self.sequences[0].rows
        shapes = [self.inputs.values[name].shape for name in self.roles]
        sizes = {shape[0] for shape in shapes if len(shape) > 2}  # [n, features] may be one sequence
        return sizes.pop() if len(sizes) == 1 else 0

    def _conclude(self) -> None:
        for one in self.sequences:
            axes = "[positions, batch]" if one.batch == 1 else "[batch, positions]"
            said = self.padding[one.name].told if one.name in self.padding else "nothing says what its padding is"
            self.concluded[one.name] = f"{one.kind} {axes}; {said}"


def _shapes(values: dict[str, Any]) -> str:
    return ", ".join(f"{k}: {list(v.shape) if isinstance(v, Tensor) else v!r}" for k, v in values.items())
