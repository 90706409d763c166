"""What can be learnt of the model before it is examined: from its inputs' names and shapes, and from a few runs."""

from dataclasses import replace

import torch

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts, Told
from attentio.doctor.patient.growth import read_outputs
from attentio.doctor.patient.inputs import Role, SequenceInput, is_target
from attentio.doctor.patient.layout import batch_axis
from attentio.doctor.patient.padding import PaddingSource, read_padding
from attentio.doctor.patient.subject import Subject


def learn(subject: Subject, told: Told) -> Facts:
    """The facts, each from those before it: roles, sequences, padding, the batch, outputs.

    Raises:
        ValueError: `told.padding` is none of the inputs, or fits none; or a sequence has no rows or no positions.
    """
    roles = subject.inputs.roles(told.padding)
    concluded = {}
    for name in _labels(subject, roles):
        roles[name] = "labels"
        concluded[name] = "labels: they change the loss alone"
    sequences = _sequences(subject, roles)
    padding = read_padding(subject, roles, sequences)
    if told.padding is not None and next(iter(roles)) not in {source.name for source in padding.values()}:
        raise ValueError(f"padding={told.padding!r} has the batch and positions of no sequence in the example inputs")
    facts = Facts(
        told=told,
        values=subject.inputs.values,
        roles=roles,
        sequences=sequences,
        batch_size=_batch_size(subject, roles, sequences),
        padding=padding,
        finite=any(bool(tensor.isfinite().any()) for tensor in subject.base.values()),
        labels_are_read=_labels_are_read(subject, roles),
        concluded=concluded | {one.name: _described(one, padding.get(one.name)) for one in sequences},
    )
    return replace(facts, outputs=read_outputs(subject, facts))


def _labels(subject: Subject, roles: dict[str, Role]) -> list[str]:
    """Tokens beside other tokens that move nothing but the loss are labels, whatever their name."""
    values = subject.inputs.values
    tokens = [name for name, role in roles.items() if role == "sequence" and not values[name].is_floating_point()]
    results = {path: one for path, one in subject.base.items() if one.ndim}
    found = []
    for name in tokens[1:]:
        try:
            after = subject.run({name: values[name].flip(0, 1)})
        except Skip:
            continue
        still = all(path in after and torch.equal(one, after[path]) for path, one in results.items())
        if still and any(one.ndim > 1 for one in results.values()):
            found.append(name)
    return found


def _labels_are_read(subject: Subject, roles: dict[str, Role]) -> bool:
    """Whether labels move more than the loss: encoder-decoders shift them to what the decoder reads."""
    given = {name: subject.inputs.values[name] for name, role in roles.items() if role == "labels"}
    labels = {name: one.flip(*range(min(one.ndim, 2))) for name, one in given.items() if one.ndim}
    if not labels:
        return False
    try:
        after = subject.run(labels)
    except Skip:
        return False
    return any(
        one.ndim and path in after and after[path].shape == one.shape and not torch.equal(one, after[path])
        for path, one in subject.base.items()
    )


def _sequences(subject: Subject, roles: dict[str, Role]) -> tuple[SequenceInput, ...]:
    names = [name for name, role in roles.items() if role == "sequence"]
    for name in names:
        if 0 in (shape := subject.inputs.values[name].shape):
            raise ValueError(f"{name} {list(shape)} of the example inputs is empty; give rows and positions")
    batch = batch_axis(subject, roles, names) if names else 0
    targets = [name for name in names if is_target(name)]
    if len(names) > 1 and not targets:
        targets = ["query"] if {"query", "key"} <= set(names) else names[1:2]
    found = []
    for name in names:
        value = subject.inputs.values[name]
        found.append(
            SequenceInput(
                name=name,
                kind="features" if value.is_floating_point() else "tokens",
                batch_axis=batch,
                batch_size=value.shape[batch],
                length=value.shape[1 - batch],
                target=len(names) > 1 and name in targets,
            )
        )
    return tuple(found)


def _batch_size(subject: Subject, roles: dict[str, Role], sequences: tuple[SequenceInput, ...]) -> int:
    """Of inputs without positions the first axis is taken, 0 where they disagree."""
    if sequences:
        return sequences[0].batch_size
    shapes = [subject.inputs.values[name].shape for name in roles]
    sizes = {shape[0] for shape in shapes if len(shape) > 2}  # [n, features] may be one sequence
    return sizes.pop() if len(sizes) == 1 else 0


def _described(sequence: SequenceInput, padding: PaddingSource | None) -> str:
    axes = "[positions, batch]" if sequence.batch_axis == 1 else "[batch, positions]"
    return f"{sequence.kind} {axes}; {padding.told if padding else 'nothing says what its padding is'}"
