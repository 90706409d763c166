"""Parameters on which nothing depends: attention whose result is thrown away, layers that never run.

They are stored, decayed and counted, and do nothing. Seen by one backward pass of a random mixture of all that the
model returns, in a copy whose parameters are drawn apart, so that no gate is shut; and by drawing what has no gradient
anew, which must not move anything.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Severity, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import parameters_of
from attentio.doctor.patient.outputs import difference, flatten
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.attentions import Attention, watching
from attentio.doctor.probes.opened import Opened, draw_apart, is_nothing, mixture, opened
from attentio.doctor.probes.training import Trained, without_dropout

ID = "unused-parameters"
TITLE = "every attention and every parameter reaches an output"
NEEDS = ("rows",)
EXPLAINS = ("dead-heads",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Attentions first, then parameters outside of those."""
    seen = opened(subject, facts)
    if not seen.gradients and not seen.attentions:
        raise Skip("there is neither a parameter nor an attention that gradients reach")
    thrown = [name for name in _without_gradient(seen) if not _attention_moves(subject, facts, seen, name)]
    for name in thrown:
        yield _attention(name)
    unused = _unused(subject, seen)
    groups: dict[tuple[Severity, str], list[str]] = {}
    for place in dict.fromkeys(_outermost(seen.model, name, set(unused)) for name in unused):
        if not any(_within(place, one) or _within(one, place) for one in thrown if one):
            groups.setdefault(_judged(subject, seen, place), []).append(place)
    for (severity, what), places in groups.items():
        yield _parameters(seen, severity, what, places)


def _without_gradient(seen: Opened) -> list[str]:
    """Modules none of whose attentions has a gradient from an output."""
    reaches: dict[str, bool] = {}
    for name, gradient in seen.attentions:
        reaches[name] = reaches.get(name, False) or not is_nothing(gradient)
    return [name for name, reached in reaches.items() if not reached]


def _unused(subject: Subject, seen: Opened) -> list[str]:
    """But for biases beside weights that are used: one that all keys share cancels in the softmax."""
    nothing = [name for name, gradient in seen.gradients.items() if is_nothing(gradient)]
    unused = {name for name in nothing if not _moves(subject, seen, name)}
    used = {name.rpartition(".")[0] for name in seen.gradients if name not in unused}
    parameters = dict(seen.model.named_parameters())
    return [
        one for one in nothing if one in unused and (parameters[one].ndim > 1 or one.rpartition(".")[0] not in used)
    ]


def _moves(subject: Subject, seen: Opened, name: str) -> bool:
    """Whether outputs move when this parameter does: then it is the gradient that is lost, which another check
    tells."""
    parameter = seen.model.get_parameter(name)
    kept, before = parameter.detach().clone(), subject.run(model=seen.model)
    try:
        parameter.data.add_(torch.randn_like(parameter))
        after = subject.run(model=seen.model)
    finally:
        parameter.data.copy_(kept)
    return _differ(subject, before, after)


def _attention_moves(subject: Subject, facts: Facts, seen: Opened, name: str) -> bool:
    """Whether outputs move when the results of this module's attentions do: then it is the gradient that is lost, as
    in quantised layers."""

    def add_noise(one: Attention) -> None:
        if one.name == name:
            one.context.data.add_(torch.randn_like(one.context))

    before = subject.run(model=seen.model)
    with watching(subject, facts, add_noise, seen.model):
        after = subject.run(model=seen.model)
    return _differ(subject, before, after)


def _differ(subject: Subject, before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return any(
        bool((difference(one.reshape(-1, 1), after[path].reshape(-1, 1)) > subject.tolerance).any())
        for path, one in before.items()
        if path in after and after[path].shape == one.shape
    )


def _outermost(model: nn.Module, name: str, unused: set[str]) -> str:
    """The largest module of whose parameters none is used; the parameter itself where there is none."""
    place = name
    parent = name.rpartition(".")[0]
    while parent and all(f"{parent}.{one}" in unused for one, _ in model.get_submodule(parent).named_parameters()):
        place, parent = parent, parent.rpartition(".")[0]
    return place


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}.")


@measured_once
def _learning_in_training(subject: Subject) -> list[str]:
    """The parameters with a gradient from something that the model returns in training, as an auxiliary output."""
    model = Trained(subject, batch_statistics=False).model
    draw_apart(model)
    named = {name: one for name, one in model.named_parameters() if one.is_floating_point()}
    try:
        with without_dropout():
            total = mixture(dict(flatten(subject.call(model=model, grad=True))))
            ways = list(named.values()) if total.requires_grad else []
            gradients = torch.autograd.grad(total, ways, allow_unused=True) if ways else ()
    except Exception:  # what does not run in training tells nothing
        return []
    return [name for name, gradient in zip(named, gradients, strict=False) if not is_nothing(gradient)]


def _attention(name: str) -> Finding:
    return Finding(
        ID,
        "error",
        f"{name or 'the model'}: the result of attention reaches no output",
        "The attention runs, and its result has no gradient from anything that the model returns, although no gate is "
        "shut: the parameters were drawn apart before. Other numbers in its place moved nothing either. So it is "
        "thrown away (not assigned, overwritten, or its residual sum is lost) or multiplied by 0. The model is one "
        "without this attention, and costs as much as with it.",
        {"gradient of its result": 0.0, "moved by other numbers in its place": 0.0},
        "Use what comes back: `hidden = hidden + self.attention(hidden)`; not `self.attention(hidden)` alone.",
        name,
    )


def _parameters(seen: Opened, severity: Severity, what: str, places: list[str]) -> Finding:
    counted = sum(one.numel() for name, one in seen.model.named_parameters() if any(_within(name, p) for p in places))
    first = places[0]
    return Finding(
        ID,
        severity,
        f"nothing depends on {first}" + (f" and {len(places) - 1} more" if len(places) > 1 else ""),
        f"{what} Such parameters are stored, decayed and counted, take part in no result and never learn; "
        "`DistributedDataParallel` refuses such models.",
        {"unused": places[:8], "parameters": counted, "gradient": 0.0, "moved by drawing them anew": 0.0},
        "Use the layer, or remove it; a loop over layers must call each of them: `for layer in self.layers: hidden = "
        "layer(hidden)`.",
        first.rpartition(".")[0] if first in seen.gradients else first,
    )


def _judged(subject: Subject, seen: Opened, place: str) -> tuple[Severity, str]:
    parent = place.rpartition(".")[0]
    if place in seen.called:
        return "warning", "It runs, and what it gives reaches no output, although no gate is shut."
    container = seen.model.get_submodule(parent) if parent else seen.model
    if isinstance(container, nn.ModuleList | nn.Sequential | nn.ModuleDict):
        calls = [seen.called.count(f"{parent}.{name}") for name, _ in container.named_children()]
        if max(calls) > 1:
            return "error", (
                f"It never runs, while another layer of {parent} runs {max(calls)} times: one layer does the work of "
                "all."
            )
        if max(calls) == 1:
            return "note", f"It does not run on this example, while others of {parent} do, as experts that are chosen."
    if any(_within(name, place) for name in _learning_in_training(subject)):
        return (
            "note",
            "It does not run in evaluation; in training, what the model returns depends on it.",
        )
    if len(subject.inputs.values) < len(parameters_of(subject.model)):
        return "note", "It does not run on this example; an input that the example does not give may use it."
    return "warning", "It never runs, in evaluation, on this example."
