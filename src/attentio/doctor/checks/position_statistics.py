"""A norm whose mean and size are taken over the positions: every position then depends on all others.

`nn.LayerNorm` over [positions, features], or behind a transpose. Where padding or the future is forbidden, another
check finds it as a leak; without these, nothing else shows it. Seen by giving a layer three times its input (a norm
does not care) and one other position (a norm of each position moves no other).
"""

from collections.abc import Iterator
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.trace import ModuleCall, by_position, traced_example

ID = "position-statistics"
TITLE = "norms look at one position at a time"
NEEDS = ("positions",)

_SAME, _OTHER = 1e-2, 1e-1  # a norm's epsilon lets a scale through a little


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Every layer of one input that behaves as a norm."""
    seen: set[str] = set()
    inputs = [one for one in subject.copied().values() if isinstance(one, Tensor) and one.is_floating_point()]
    for call in traced_example(subject):
        if call.name in seen or any(True for _ in call.module.children()) or len(call.given) != 1:
            continue
        if any(one.shape == call.given[0].shape and torch.equal(one, call.given[0]) for one in inputs):
            continue  # the example itself, standardised
        for sequence in facts.sequences:
            size = _over_positions(subject, call, sequence)
            if size is not None:
                seen.add(call.name)
                yield _finding(call.name, {"other positions moved by (relative)": size})
                break
    if not seen:
        written = _Written(facts.sequences, inputs)
        with written:
            subject.run(what="while its statistics were watched")
        if written.found:
            yield _finding("the model's own code", {"statistics over positions, kept as an axis": written.found[:4]})


def _over_positions(subject: Subject, call: ModuleCall, sequence: SequenceInput) -> float | None:
    """How far other positions move with one, in what behaves as a norm; None in all else."""
    given = call.given[0]
    rows = by_position(given, sequence)
    if rows is None or len(call.returned) != 1 or call.returned[0].shape != given.shape:
        return None
    position = sequence.length // 2
    other = given.clone()
    inside = by_position(other, sequence)
    assert inside is not None
    inside[:, position] = inside[:, position].flip(-1) * 2 + given.std()

    def run(value: Tensor) -> Tensor:
        result = subject.reproducibly(lambda: call.module(value.clone()))
        if not isinstance(result, Tensor) or result.shape != given.shape:
            raise Skip("no norm")
        return result

    try:
        before, scaled, after = run(given), run(3 * given), run(other)
    except Exception:
        return None
    if difference(before, scaled).max() > _SAME or difference(before, run(given.flip(-1) ** 2)).max() < _OTHER:
        return None
    old, new = by_position(before, sequence), by_position(after, sequence)
    assert old is not None
    assert new is not None
    apart = difference(old, new)
    apart[:, position] = 0.0
    size = float(apart.max())
    return size if size > max(subject.tolerance, 1e-6) else None


def _finding(name: str, evidence: dict[str, Any]) -> Finding:
    return Finding(
        ID,
        "warning",
        f"{name} takes its mean over the positions",
        "Three times its input gives the same, and a change at one position moves the others: mean and size are taken "
        "over the positions, not over the features of each. A token's result then depends on how long the sequence is "
        "and on padding, a model for generation sees what is to come, and a norm of a fixed number of positions takes "
        "no other length.",
        evidence,
        "`nn.LayerNorm(width)` on [batch, positions, width], without a transpose before it.",
        "" if " " in name else name,
    )


class _Written(TorchFunctionMode):
    """Notes deviations over the positions that go back to every position, but for those of the example itself."""

    def __init__(self, sequences: tuple[SequenceInput, ...], inputs: list[Tensor]) -> None:
        super().__init__()
        self._sequences, self._inputs = sequences, inputs
        self.found: list[str] = []

    # It runs with every call of torch: whoever checks types at run time should not check these.
    @no_type_check
    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in ("std", "var", "std_mean", "var_mean") and args and isinstance(args[0], Tensor):
            self._note(name, args[0], result if isinstance(result, Tensor) else result[0])
        return result

    def _note(self, name: str, given: Tensor, result: Tensor) -> None:
        if (
            given.ndim != 3
            or result.ndim != 3
            or any(one.shape == given.shape and one.equal(given) for one in self._inputs)
        ):
            return
        for one in self._sequences:
            axes = (one.batch_size, one.length) if one.batch_axis == 0 else (one.length, one.batch_size)
            if given.shape[:2] == axes and one.length > 1 and result.shape[one.position_axis] == 1:
                self.found.append(f"{name} of {list(given.shape)} over axis {one.position_axis}")
