"""Which axis is the batch: a model says so by what it does when rows are exchanged."""

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.inputs import Role
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.subject import Subject


def batch_axis(subject: Subject, roles: dict[str, Role], names: list[str]) -> int:
    """0 for [batch, positions, ..], 1 for [positions, batch, ..].

    The sizes of masks and lengths tell it, an axis of one, or results of whole rows. Else: rolled along the batch,
    results roll along; rolled along the positions, they change. A model without positions rolls along both; then one
    position changed moves others of its own row. Where behaviour says nothing, `batch_first` of its modules does.
    """
    shape = subject.inputs.values[names[0]].shape[:2]
    told = None if shape[0] == shape[1] else _told_by_sizes(subject, roles, shape)
    if told is None and shape[0] != shape[1]:
        told = _told_by_results(subject, names, shape)
    if told is not None:
        return told
    rolls = [axis for axis in (0, 1) if _rolls_along(subject, names, axis)]
    if len(rolls) == 1:
        return rolls[0]
    reached = _reached_axis(subject, names[0]) if rolls else None
    if reached is not None:
        return 1 - reached
    declared = {module.batch_first for module in subject.model.modules() if hasattr(module, "batch_first")}
    return 1 if declared == {False} else 0


def _told_by_sizes(subject: Subject, roles: dict[str, Role], shape: torch.Size) -> int | None:
    if 1 in shape:
        return shape.index(1)
    for name, role in roles.items():
        size = subject.inputs.values[name].shape
        if role not in ("padding", "lengths"):
            continue
        if len(size) == 1 and size[0] in shape:
            return shape.index(size[0])
        if len(size) == 2 and set(size) == set(shape):
            return 0 if size == shape else 1
    return None


def _told_by_results(subject: Subject, names: list[str], shape: torch.Size) -> int | None:
    """Where no output has positions, there is one result for each row."""
    if any(_positioned(subject, name) for name in names):
        return None
    sizes = {tensor.shape[0] for tensor in subject.base.values() if tensor.ndim in (1, 2)} & set(shape)
    return shape.index(sizes.pop()) if len(sizes) == 1 else None


def _positioned(subject: Subject, name: str) -> list[str]:
    """Outputs that begin with the two axes of the input."""
    shape = subject.inputs.values[name].shape[:2]
    return [path for path, tensor in subject.base.items() if tensor.ndim == 3 and tensor.shape[:2] == shape]


def _rolls_along(subject: Subject, names: list[str], axis: int) -> bool:
    """Whether rolling all sequences along `axis` does nothing but roll the outputs."""
    try:
        after = subject.run({name: subject.inputs.values[name].roll(1, axis) for name in names})
    except Skip:
        return False
    paths = _positioned(subject, names[-1]) or _positioned(subject, names[0])
    return bool(paths) and all(_same(subject.base[path].roll(1, axis), after[path]) for path in paths)


def _reached_axis(subject: Subject, name: str) -> int | None:
    """The axis along which a change of one cell spreads."""
    value = subject.inputs.values[name]
    other = value.clone()
    other[0, 0] = value[-1, -1] if not torch.equal(value[-1, -1], value[0, 0]) else value.flatten(0, 1).max(0).values
    after = subject.run({name: other})
    for path in _positioned(subject, name):
        moved = difference(subject.base[path], after[path]) > 1e-6
        spread = [bool(moved[1:, 0].any()), bool(moved[0, 1:].any())]
        if spread[0] != spread[1]:
            return spread.index(True)
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((difference(a, b) < 1e-6).all())
