"""A head whose result changes nothing: its values are 0, or the output projection does not read it.

Seen by one gradient: how a random mixture of the outputs would change with each head's context, times that context.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, watching

ID = "dead-heads"
TITLE = "every head contributes"
NEEDS = ()

_DEAD = 1e-12
"""Share of the largest effect of a head: what rounding leaves of nothing."""


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Module by module."""
    try:
        effects = _effects(subject, facts)
    except Exception as error:
        raise Skip(f"no gradient could be taken: {type(error).__name__}: {error}") from error
    if not effects:
        raise Skip("no attention whose heads can be told apart was seen")
    for name, effect in effects.items():
        dead = (effect <= _DEAD * effect.max()).nonzero().flatten().tolist()
        if 0 < len(dead) < len(effect):
            yield _finding(name, effect, dead)


def _effects(subject: Subject, facts: Facts) -> dict[str, Tensor]:
    """Of each module, the effect of each head [heads] on the outputs."""
    effects: dict[str, Tensor] = {}

    def add(name: str, effect: Tensor) -> None:
        effects[name] = effects.get(name, 0.0) + effect.detach().double().cpu()

    def visit(attention: Attention) -> None:
        context = attention.context
        if attention.api == "multihead":
            add(attention.name, _of_multihead(subject.model, attention))
        elif context.ndim == 4 and context.requires_grad and context.shape[1] == attention.scores.shape[1]:
            context.register_hook(_effect_of(context, lambda effect: add(attention.name, effect)))

    frozen = [one for one in subject.model.parameters() if one.is_floating_point() and not one.requires_grad]
    for one in frozen:
        one.requires_grad_(True)
    try:
        with watching(subject, facts, visit):
            outputs = dict(flatten(subject.call(grad=True)))
        moving = [one for one in outputs.values() if one.requires_grad and one.isfinite().all()]
        if moving:
            draw = torch.Generator().manual_seed(1)
            mixed = [(one.cpu() * torch.randn(one.shape, generator=draw, dtype=one.dtype)).sum() for one in moving]
            torch.stack(mixed).sum().backward()
    finally:
        subject.model.zero_grad(set_to_none=True)
        for one in frozen:
            one.requires_grad_(False)
    return {name: effect for name, effect in effects.items() if effect.isfinite().all()}


def _effect_of(context: Tensor, add: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    value = context.detach()
    return lambda gradient: add((gradient * value).abs().sum((0, 2, 3)))


def _of_multihead(model: nn.Module, attention: Attention) -> Tensor:
    """nn.MultiheadAttention projects within one call: size of each head's context, times that of its columns."""
    assert attention.value is not None
    context = attention.weights @ attention.value.detach().double()
    size = context.abs().sum((0, 2, 3))
    module = model.get_submodule(attention.name)
    if isinstance(module, nn.MultiheadAttention):
        columns = module.out_proj.weight.detach().double().abs().sum(0)
        size = size * columns.unflatten(0, (len(size), -1)).sum(1)
    return size


def _finding(name: str, effect: Tensor, dead: list[int]) -> Finding:
    return Finding(
        ID,
        "warning",
        f"{name or 'the model'}: head{'s' if len(dead) > 1 else ''} {', '.join(map(str, dead))} changes no output",
        "What the head computes is 0, or is multiplied by 0 afterwards, while other heads of the same module do move "
        "the outputs. It costs time and memory, and often shows a checkpoint that was loaded in part, a slice that is "
        "off by one head, or pruning that was meant to remove it.",
        {
            "effect of these heads (sum of |gradient * context|)": [float(effect[head]) for head in dead],
            "largest effect of a head in the module": float(effect.max()),
        },
        "Look at the head's rows of the value projection and its columns of the output projection; remove the head "
        "if it was pruned.",
        name,
    )
