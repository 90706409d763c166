"""Several layers that are one: `[layer] * n` repeats the same object, and all its places share their parameters.

Seen by the objects that a container holds. A module that runs several times, each time on what it gave before, as in
ALBERT and the Universal Transformer, is meant to: a note.
"""

from collections.abc import Iterator

import torch
from torch import nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.trace import ModuleCall, traced_example

ID = "shared-layers"
TITLE = "the layers of a stack have parameters of their own"
NEEDS = ()


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Containers, then what runs one time after the other."""
    shared = [finding for name, one in subject.model.named_modules() for finding in _container(name, one)]
    yield from shared
    calls = traced_example(subject)
    if not calls:
        raise Skip("the model has no modules")
    for name in () if shared else _chained(calls):
        yield Finding(
            ID,
            "note",
            f"{name} runs several times, each time on its own result",
            "All these steps share one set of parameters. That is meant in models such as ALBERT or the Universal "
            "Transformer. If layers of their own were meant, only one of them is used.",
            {"runs": sum(call.name == name for call in calls)},
            "If it is not meant: `nn.ModuleList(make_layer() for _ in range(n))`, and `for layer in self.layers:`.",
            name,
        )


def _container(name: str, container: nn.Module) -> Iterator[Finding]:
    """Of a list of layers; layers without parameters may be shared."""
    if not isinstance(container, nn.ModuleList | nn.Sequential | nn.ModuleDict):
        return
    layers = [one for one in container._modules.values() if one is not None and any(True for _ in one.parameters())]
    different = len({id(one) for one in layers})
    if different == len(layers):
        return
    yield Finding(
        ID,
        "warning",
        f"{len(layers)} layers of {name or 'the model'} are {'one' if different == 1 else different}",
        f"{name or 'The model'} looks like a stack of {len(layers)} layers, and the same object stands in several "
        "places, as `[layer] * n` makes it: Python repeats the reference, not the layer. All these places share one "
        "set "
        "of parameters, so the model has a fraction of the parameters that its depth suggests. If that is meant, call "
        "one layer n times, which says so.",
        {"layers": len(layers), "different ones": different},
        "`nn.ModuleList(make_layer() for _ in range(n))`, or `copy.deepcopy(layer)` for each place.",
        name,
    )


def _chained(calls: list[ModuleCall]) -> list[str]:
    """The outermost modules that were given what they had returned."""
    last: dict[str, ModuleCall] = {}
    found: list[str] = []
    for call in reversed(calls):  # outer modules return last
        later = last.get(call.name)
        inside = any(call.name.startswith(f"{name}.") for name in found)
        if later and not inside and _feeds(call, later) and any(True for _ in call.module.parameters()):
            found += [] if call.name in found else [call.name]
        last[call.name] = call
    return found


def _feeds(call: ModuleCall, later: ModuleCall) -> bool:
    if not call.returned or not later.given:
        return False
    gave, got = call.returned[0], later.given[0]
    return gave.shape == got.shape and gave.ndim >= 3 and gave.shape[1] > 1 and torch.equal(gave, got)
