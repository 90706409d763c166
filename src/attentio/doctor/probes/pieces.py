"""The model on some of its positions alone, and what it returns beside the outputs there."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from attentio.doctor.patient.edits import sliced
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output, flatten
from attentio.doctor.patient.subject import Subject


class Read(NamedTuple):
    """outputs: [batch, positions, features]. beside: what else holds tensors in what was returned."""

    outputs: Tensor
    beside: dict[str, Any]


def read_piece(
    subject: Subject,
    facts: Facts,
    sequence: SequenceInput,
    output: Output,
    begin: int,
    end: int,
    *,
    keys_from: int,
    extra: dict[str, Any],
) -> Read:
    """Call the model on the positions from `begin` to `end`, with masks that begin at `keys_from`, and `extra`.

    Raises:
        ValueError: none of the outputs has these positions.
        Exception: what the model raises.
    """
    without_labels: dict[str, Any] = {name: None for name, role in facts.roles.items() if role == "labels"}
    values = sliced(facts, sequence, begin, end, keys_from=keys_from) | without_labels
    result = subject.call(values, extra=extra)
    batch, _, features = output.batch_first(subject.base[output.path]).shape
    returned = dict(flatten(result))
    # A model may return a tensor alone in the full pass, and in a tuple with its cache here.
    for path in dict.fromkeys((output.path, *returned)):
        if path in returned and returned[path].ndim == subject.base[output.path].ndim:
            found = output.batch_first(returned[path])
            if found.shape == (batch, end - begin, features):
                return Read(found, dict(_beside(result, path)))
    raise ValueError(f"no output has the positions {begin} to {end}")


def tensors_in(value: Any, seen: frozenset[int] = frozenset()) -> Iterator[Tensor]:
    """The tensors of any type in containers and in the attributes of objects; modules are no containers."""
    if id(value) in seen or isinstance(value, (nn.Module, type)):
        return
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, tuple, list)):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(one, seen | {id(value)})
    elif hasattr(value, "__dict__"):
        yield from tensors_in(vars(value), seen | {id(value)})


def _beside(result: Any, path: str, before: str = "") -> Iterator[tuple[str, Any]]:
    """The members of a result that hold tensors, but for the one at `path`; named by their way, as `flatten` does."""
    for name, one in _members(result).items():
        if path.startswith(f"{name}."):
            yield from _beside(one, path.removeprefix(f"{name}."), f"{before}{name}.")
        elif path != name and any(tensor.ndim for tensor in tensors_in(one)):
            yield before + name, one


def _members(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {str(name): one for name, one in result.items()}
    if isinstance(result, (tuple, list)):
        return dict(zip(map(str, getattr(result, "_fields", range(len(result)))), result, strict=True))
    if is_dataclass(result) and not isinstance(result, type):
        return {one.name: getattr(result, one.name) for one in fields(result)}
    return {}
