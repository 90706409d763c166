"""Through which module something passes that should not: what every module was given and returned, in two runs."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import difference, flatten
from attentio.doctor.patient.subject import Subject, measured_once


class ModuleCall(NamedTuple):
    """One call of one module, noted when it returned."""

    name: str
    module: nn.Module
    given: list[Tensor]
    returned: list[Tensor]


class Still(NamedTuple):
    """Positions [batch, positions] of a sequence that should not move."""

    sequence: SequenceInput
    positions: Tensor


def traced(subject: Subject, values: dict[str, Any], model: nn.Module | None = None) -> list[ModuleCall]:
    """Every call of a submodule in one run, of another copy where `model` is given; inner ones before outer ones."""
    calls: list[ModuleCall] = []
    names = {module: name for name, module in (model or subject.model).named_modules() if name}

    def note(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        given = [tensor.clone() for _, tensor in flatten((args, tuple(kwargs.values())))]
        calls.append(ModuleCall(names[module], module, given, [tensor.clone() for _, tensor in flatten(result)]))

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in names]
    try:
        subject.run(values, model=model)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


@measured_once
def traced_example(subject: Subject) -> list[ModuleCall]:
    """The same on the example itself."""
    return traced(subject, {})


def first_moved(
    before: list[ModuleCall], after: list[ModuleCall], still: list[Still], tolerance: float
) -> tuple[str, nn.Module | None]:
    """Where positions that should not move first do.

    The module itself if it was given still ones and returned moved ones; if those it was given had moved already, it
    happened in the code of a module around it, the innermost that was not given moved ones itself. ("", None) where
    that cannot be told.
    """
    if [one.name for one in before] != [one.name for one in after]:
        return "", None
    pairs = list(zip(before, after, strict=True))
    for i, (old, new) in enumerate(pairs):
        if not _any_moved(old.returned, new.returned, still, tolerance):
            continue
        if not _any_moved(old.given, new.given, still, tolerance):
            return old.name, old.module
        name = old.name.rpartition(".")[0]
        around = {outer.name: (outer, then) for outer, then in reversed(pairs[i:])}  # they return after it
        while name and (name not in around or _given_moved(around[name], still, tolerance)):
            name = name.rpartition(".")[0]
        return name, None
    return "", None


def moved_last_state(
    before: list[ModuleCall], after: list[ModuleCall], tolerance: float
) -> tuple[str, nn.Module | None]:
    """The first recurrent layer whose last state moved."""
    for old, new in zip(before, after, strict=False):
        if isinstance(old.module, nn.RNNBase) and old.name == new.name:
            states = zip(old.returned[1:], new.returned[1:], strict=False)
            if any(a.shape == b.shape and bool((difference(a, b) > tolerance).any()) for a, b in states):
                return old.name, old.module
    return "", None


def _given_moved(pair: tuple[ModuleCall, ModuleCall], still: list[Still], tolerance: float) -> bool:
    return _any_moved(pair[0].given, pair[1].given, still, tolerance)


def _any_moved(before: list[Tensor], after: list[Tensor], still: list[Still], tolerance: float) -> bool:
    for old, new in zip(before, after, strict=False):
        for sequence, positions in still:
            apart = moved_by_position(old, new, sequence)
            if apart is not None:
                if (apart.cpu()[positions] > tolerance).any():
                    return True
                break
    return False


def moved_by_position(before: Tensor, after: Tensor, sequence: SequenceInput) -> Tensor | None:
    """[batch, positions] relative difference of two tensors from inside the model; None without these positions."""
    old, new = by_position(before, sequence), by_position(after, sequence)
    return None if old is None or new is None or old.shape != new.shape else difference(old, new)


def by_position(tensor: Tensor, sequence: SequenceInput) -> Tensor | None:
    rows, length, shape = sequence.batch_size, sequence.length, tuple(tensor.shape)
    if len(shape) == 3 and shape[sequence.batch_axis] == rows and shape[sequence.position_axis] == length:
        return tensor.transpose(0, 1) if sequence.batch_axis == 1 else tensor
    if len(shape) == 3 and shape[:2] in ((rows, length), (length, rows)):
        return tensor if shape[0] == rows else tensor.transpose(0, 1)
    if len(shape) == 3 and shape[0] == rows and shape[2] == length:  # as convolutions have it
        return tensor.transpose(1, 2)
    if len(shape) == 4 and shape[0] == rows and shape[2] == length:  # [batch, heads, positions, d]
        return tensor.transpose(1, 2).flatten(2)
    return None


def first_apart(before: list[ModuleCall], after: list[ModuleCall], tolerance: float) -> str:
    """The first module that was given the same and returned something else; "" where that cannot be told."""
    for old, new in zip(before, after, strict=False):
        if old.name != new.name:
            return ""
        if _apart(old.returned, new.returned, tolerance) and not _apart(old.given, new.given, tolerance):
            return old.name
    return ""


def _apart(before: list[Tensor], after: list[Tensor], tolerance: float) -> bool:
    return any(
        a.shape != b.shape or (a.ndim > 0 and bool((difference(a, b) > tolerance).any()))
        for a, b in zip(before, after, strict=False)
    )
