"""Through which module something passes that should not: what every module was given and returned, in two runs."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.outputs import difference, flatten
from attentio.inspection.doctor.patient import Patient


class Heard(NamedTuple):
    """One call of one module, noted when it returned."""

    name: str
    module: nn.Module
    given: list[Tensor]
    returned: list[Tensor]


class Still(NamedTuple):
    """Positions [batch, positions] of a sequence that should not move."""

    sequence: SequenceInput
    positions: Tensor


def listen(patient: Patient, values: dict[str, Any] | None = None) -> list[Heard]:
    """Every call of a submodule in one run, inner ones before outer ones."""
    heard: list[Heard] = []
    names = {module: name for name, module in patient.model.named_modules() if name}

    def note(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        given = [tensor.clone() for _, tensor in flatten((args, tuple(kwargs.values())))]
        heard.append(Heard(names[module], module, given, [tensor.clone() for _, tensor in flatten(result)]))

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in names]
    try:
        patient.run(values)
    finally:
        for hook in hooks:
            hook.remove()
    return heard


def first_moved(
    before: list[Heard], after: list[Heard], still: list[Still], tolerance: float
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


def moved_last_state(before: list[Heard], after: list[Heard], tolerance: float) -> tuple[str, nn.Module | None]:
    """The first recurrent layer whose last state moved."""
    for old, new in zip(before, after, strict=False):
        if isinstance(old.module, nn.RNNBase) and old.name == new.name:
            states = zip(old.returned[1:], new.returned[1:], strict=False)
            if any(a.shape == b.shape and bool((difference(a, b) > tolerance).any()) for a, b in states):
                return old.name, old.module
    return "", None


def _given_moved(pair: tuple[Heard, Heard], still: list[Still], tolerance: float) -> bool:
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
    old, new = _by_position(before, sequence), _by_position(after, sequence)
    return None if old is None or new is None or old.shape != new.shape else difference(old, new)


def _by_position(tensor: Tensor, sequence: SequenceInput) -> Tensor | None:
    rows, length, shape = sequence.rows, sequence.length, tuple(tensor.shape)
    if len(shape) == 3 and shape[sequence.batch] == rows and shape[sequence.axis] == length:
        return tensor.transpose(0, 1) if sequence.batch == 1 else tensor
    if len(shape) == 3 and shape[:2] in ((rows, length), (length, rows)):
        return tensor if shape[0] == rows else tensor.transpose(0, 1)
    if len(shape) == 3 and shape[0] == rows and shape[2] == length:  # as convolutions have it
        return tensor.transpose(1, 2)
    if len(shape) == 4 and shape[0] == rows and shape[2] == length:  # [batch, heads, positions, d]
        return tensor.transpose(1, 2).flatten(2)
    return None
