"""Parameters that decide the outputs and get no gradient: they never learn.

`.detach()`, `.data`, `torch.no_grad()` or a round trip through numpy on the way. Seen by moving all parameters a little
along a random direction: the outputs must move as their gradient says. Where they do not, module by module.
"""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import flatten, paired
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.comparison import real_outputs
from attentio.doctor.probes.opened import draw_apart, mixture
from attentio.doctor.probes.training import Trained, without_dropout

ID = "lost-gradient"
TITLE = "every parameter that decides the outputs gets a gradient"
NEEDS = ("rows",)

_STEP = 1e-6
_PARTLY = 1e-2  # a path beside others that is cut; kinks of relu move less
_DISAGREE = 1e-4  # of the slope: far above the error of the difference, far below what a lost path leaves out


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """In training mode without dropout, then, of what looks lost, in evaluation mode: a layer may learn by itself."""
    yield from _unregistered(subject.fresh())
    if not subject.exact:
        raise Skip("the model does not run in float64, so that small moves of its parameters drown in rounding")
    training = _lost(subject, facts, Trained(subject, batch_statistics=False).model)
    if training:
        evaluation = _lost(subject, facts, subject.fresh())
        both = {name: lost for name, lost in training.items() if name in evaluation}
        for whole in (True, False):
            kind = {name: lost for name, lost in both.items() if bool(lost.zero) == whole}
            if kind:
                yield _finding(kind, whole=whole)


class Lost(NamedTuple):
    """size: how far the outputs move along a parameter beyond what its gradient says. zero: of how many of its numbers
    the gradient is 0.
    """

    size: float
    zero: int
    numbers: int


def _lost(subject: Subject, facts: Facts, model: nn.Module) -> dict[str, Lost]:
    """The parameters that move the outputs otherwise than their gradients say."""
    learning = {name for name, one in model.named_parameters() if one.requires_grad}
    draw_apart(model)
    for name, one in model.named_parameters():
        one.requires_grad_(name in learning)
    if not learning:
        raise Skip("no parameter is to be trained")
    directions = _directions(model)
    gradients = _gradients(subject, facts, model, list(directions))
    slope = sum(_along(gradients[name], directions[name]) for name in directions)
    moved = _moved(subject, facts, model, directions)
    if not torch.isfinite(torch.tensor([slope, moved])).all():
        raise Skip("the gradients are not finite")
    if abs(moved - slope) <= _DISAGREE * max(abs(slope), abs(moved)):
        return {}
    found = {}
    for name, direction in directions.items():
        gradient = gradients[name]
        nothing = torch.ones_like(direction) if gradient is None else (gradient.to_dense() == 0).to(direction)
        size = abs(_moved(subject, facts, model, {name: direction * nothing}))
        if size > _DISAGREE * max(abs(slope), abs(moved)):
            found[name] = Lost(size, int(nothing.sum()), nothing.numel())
    if not found:
        for name, direction in directions.items():
            along, size = _along(gradients[name], direction), _moved(subject, facts, model, {name: direction})
            if abs(size - along) <= _PARTLY * max(abs(size), abs(along)) or abs(size) <= _PARTLY * abs(moved):
                continue
            wider = _moved(subject, facts, model, {name: direction}, step=4 * _STEP)
            if abs(size - wider) < 0.1 * abs(size - along):  # else it is rounding
                found[name] = Lost(abs(size - along), 0, direction.numel())
    return found


def _directions(model: nn.Module) -> dict[str, Tensor]:
    """A random one for every parameter that learns, but for rows that an embedding leaves out by declaration."""
    draw = torch.Generator().manual_seed(3)
    found = {}
    for name, one in model.named_parameters():
        if one.requires_grad and one.is_floating_point():
            noise = torch.randn(one.shape, generator=draw, dtype=torch.float64).to(one)
            found[name] = noise * float(one.detach().square().mean().sqrt())
    for name, module in model.named_modules():
        weight = f"{name}.weight".lstrip(".")
        if isinstance(module, nn.Embedding) and module.padding_idx is not None and weight in found:
            found[weight][module.padding_idx] = 0.0
    return found


def _gradients(subject: Subject, facts: Facts, model: nn.Module, names: list[str]) -> dict[str, Tensor | None]:
    total = _total(subject, facts, model, grad=True)
    if not total.requires_grad:
        return dict.fromkeys(names)
    parameters = [model.get_parameter(name) for name in names]
    try:
        return dict(zip(names, torch.autograd.grad(total, parameters, allow_unused=True), strict=True))
    except RuntimeError as error:
        raise Skip(f"no gradient could be taken: {str(error).strip()[:200]}") from error


def _along(gradient: Tensor | None, direction: Tensor) -> float:
    return 0.0 if gradient is None else float((gradient.to_dense() * direction).sum())


def _moved(
    subject: Subject, facts: Facts, model: nn.Module, directions: dict[str, Tensor], *, step: float = _STEP
) -> float:
    """How fast the outputs move along these directions."""
    values = []
    for sign in (1.0, -2.0):
        for name, direction in directions.items():
            model.get_parameter(name).data.add_(direction, alpha=sign * step)
        values.append(float(_total(subject, facts, model, grad=False)))
    for name, direction in directions.items():
        model.get_parameter(name).data.add_(direction, alpha=step)
    return (values[0] - values[1]) / (2 * step)


def _total(subject: Subject, facts: Facts, model: nn.Module, *, grad: bool) -> Tensor:
    """Of the results of real positions: at padding, scores that masks have swallowed still have a gradient."""
    try:
        with without_dropout():
            outputs = dict(flatten(subject.call(model=model, grad=grad)))
    except Exception as error:
        raise Skip(f"the model raised {type(error).__name__} in training: {str(error).strip()[:200]}") from error
    real = real_outputs(facts, paired(subject.base, outputs))
    if not real:
        raise Skip(f"in training the model returns other outputs: {', '.join(outputs) or 'none'}")
    return mixture(real)


def _finding(lost: dict[str, Lost], *, whole: bool) -> Finding:
    names = list(lost)
    said = f"{names[0]} and {len(names) - 1} more decide" if len(names) > 1 else f"{names[0]} decides"
    return Finding(
        ID,
        "error" if whole else "warning",
        f"{said} the outputs, and get{'' if len(names) > 1 else 's'} {'no' if whole else 'only a part of the'} "
        "gradient",
        "These parameters were moved a little, and the outputs moved; their gradient "
        f"{'is 0 or missing' if whole else 'says otherwise'}, in training and in evaluation. They are trainable "
        f"(`requires_grad`), and {'stay as they are' if whole else 'learn by some of their uses only'}: something on "
        "the way from them to the outputs cuts the graph.",
        {
            "parameters": names[:8],
            "numbers in them": sum(one.numbers for one in lost.values()),
            "of them with a gradient of 0 that move the outputs": sum(one.zero for one in lost.values()),
            "moved beyond their gradient by (a step of their own size, largest)": max(o.size for o in lost.values()),
        },
        "Take `.detach()`, `.data`, `.item()`, `torch.no_grad()` and numpy out of `forward`. If they are to stay as "
        "they are, say so: `module.requires_grad_(False)`.",
        _around([name.rpartition(".")[0] for name in names]),
    )


def _around(modules: list[str]) -> str:
    """The innermost module around all of these."""
    parts = [one.split(".") for one in modules]
    shared = takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    return ".".join(level[0] for level in shared)


def _unregistered(model: nn.Module) -> Iterator[Finding]:
    """Modules and parameters in plain lists and dicts are no part of the module around them."""
    known: set[int] = {id(one) for one in (*model.modules(), *model.parameters())}
    for name, module in model.named_modules():
        for attribute, thing in vars(module).items():
            if attribute.startswith("_") or not isinstance(thing, list | tuple | dict):
                continue
            inside = [one for one in _members(thing) if isinstance(one, nn.Module | nn.Parameter)]
            if any(id(one) not in known and _learns(one) for one in inside):
                yield _unregistered_finding(f"{name}.{attribute}".lstrip("."), len(inside))


def _members(thing: Any) -> Iterable[Any]:
    return thing.values() if isinstance(thing, dict) else thing


def _learns(thing: nn.Module | nn.Parameter) -> bool:
    return isinstance(thing, nn.Parameter) or any(True for _ in thing.parameters())


def _unregistered_finding(place: str, count: int) -> Finding:
    return Finding(
        ID,
        "error",
        f"the parameters in {place} are no parameters of the model",
        f"{place} is a plain list, tuple or dict. The modules in it are not found by `model.parameters()`: an "
        "optimizer "
        "does not train them, `model.to(device)` leaves them where they are, `model.eval()` does not reach their "
        "dropout, and `state_dict()` does not save them.",
        {"modules or parameters in it": count, "of them in model.parameters()": 0},
        f"`self.{place.rpartition('.')[2]} = nn.ModuleList([..])`, `nn.ModuleDict` or `nn.ParameterList`.",
        place.rpartition(".")[0],
    )
