"""What outputs depend on by gradient: in a copy whose parameters are drawn a little apart.

Freshly made models have gates at 0 and output projections of zeros, behind which nothing matters yet. Drawn apart,
those are open, and only what never matters is left.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.attentions import Attention, watching


class Opened(NamedTuple):
    """model: the copy. base: its outputs. gradients: by parameter, of a random mixture of all that it returns; None
    where there is no way to it. attentions: name and context's gradient, None the same, of each attention whose context
    can be differentiated by, in order. called: names of the modules that ran.
    """

    model: nn.Module
    base: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    attentions: list[tuple[str, Tensor | None]]
    called: list[str]


@measured_once
def opened(subject: Subject, facts: Facts) -> Opened:
    """The copy, and one backward pass of it.

    Raises:
        Skip: it has no gradient.
    """
    model = subject.fresh()
    draw_apart(model)
    seen: list[Attention] = []
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: _note(called, name, given))
        for name, module in model.named_modules()
    ]
    try:
        with watching(subject, facts, seen.append, model):
            outputs = dict(flatten(subject.call(_leaves(subject), model=model, grad=True)))
    except Exception as error:
        raise Skip(f"no gradient could be taken: {type(error).__name__}: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    named = {name: one for name, one in model.named_parameters() if one.is_floating_point()}
    contexts = [(one.name, way) for one in seen if (way := _way(one.context)) is not None]
    ways = [*named.values(), *(way for _, way in contexts)]
    total = mixture(outputs)
    if total.requires_grad and ways:
        try:
            gradients: Sequence[Tensor | None] = torch.autograd.grad(total, ways, allow_unused=True)
        except RuntimeError as error:
            raise Skip(f"no gradient could be taken: {str(error).strip()[:200]}") from error
    else:
        gradients = [None] * len(ways)
    return Opened(
        model,
        {path: one.detach() for path, one in outputs.items()},
        dict(zip(named, gradients, strict=False)),
        [(name, gradient) for (name, _), gradient in zip(contexts, gradients[len(named) :], strict=True)],
        called,
    )


def _leaves(subject: Subject) -> dict[str, Tensor]:
    """The example's features, so that gradients reach them: attention of inputs alone has no parameters."""
    floats = {
        name: one for name, one in subject.copied().items() if isinstance(one, Tensor) and one.is_floating_point()
    }
    return {name: one.requires_grad_() for name, one in floats.items()}


def _way(context: Tensor) -> Tensor | None:
    """What the graph goes through: a view may have been made for us alone, what it is a view of was not."""
    way = context if context._base is None else context._base
    return way if way.requires_grad else None


def draw_apart(model: nn.Module) -> None:
    """Move every parameter by a tenth of its size, and those that are 0 by a tenth; all of them take gradients then."""
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
            size = float(parameter.detach().square().mean().sqrt()) if parameter.numel() else 0.0
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64).to(parameter)
            parameter.data.add_(noise, alpha=0.1 * (size or 1.0))


def mixture(outputs: dict[str, Tensor]) -> Tensor:
    """A scalar to which every finite number that a model returns adds, each by a factor of its own."""
    draw = torch.Generator().manual_seed(2)
    total = torch.zeros((), dtype=torch.float64)
    for one in outputs.values():
        factors = torch.randn(one.shape, generator=draw, dtype=torch.float64)
        total = total + torch.where(one.isfinite(), one, 0.0).cpu().double().mul(factors).sum()
    return total


def is_nothing(gradient: Tensor | None) -> bool:
    """Whether it is not there, or 0 everywhere."""
    return gradient is None or not bool(gradient.detach().to_dense().any() if gradient.is_sparse else gradient.any())


def _note(called: list[str], name: str, given: tuple[object, ...]) -> None:
    """An expert that gets no token is not called."""
    tensors = [one for one in given if isinstance(one, Tensor)]
    if not tensors or any(one.numel() for one in tensors):
        called.append(name)
