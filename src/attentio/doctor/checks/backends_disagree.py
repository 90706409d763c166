"""The same attention computed in two ways gives two results: sdpa, eager and flex; fused and not; ours and the formula.

Seen by computing every observed attention once more from the formula in float64, and by running the model with each
implementation that it lets one choose.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attentio.copies import copy_of
from attentio.doctor.diagnosis import Concluded, Finding
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions
from attentio.doctor.probes.comparison import compared

ID = "backends-disagree"
TITLE = "every way to compute the attention gives the same"
NEEDS = ()

_FLAGS = ("flash", "use_flash", "use_flash_attn", "use_sdpa", "fused_attn")
_IMPLEMENTATIONS = ("sdpa", "eager", "flex_attention")
_EXPLANATION = (
    "A model is trained with one implementation and used with another: a different library version, a request for the "
    "weights, another machine. They must be the same function. What usually differs is the mask (dropped, or combined "
    "differently), the scale, or rows without a key."
)


def check(subject: Subject, facts: Facts) -> Iterator[Concluded | Finding]:
    """The formula, then the model's own alternatives."""
    yield from _formula(subject, facts)
    tried = ["the formula"]
    for name, change in _alternatives(subject.model):
        after = _run(subject, name, change)
        if after is not None:
            tried.append(name)
            yield from _compare(subject, facts, name, after)
    yield Concluded("implementations compared", ", ".join(tried))


def _formula(subject: Subject, facts: Facts) -> Iterator[Finding]:
    found: dict[str, Finding] = {}

    def visit(attention: Attention) -> None:
        if attention.value is None or attention.api in ("multihead", "softmax") or attention.dropout:
            return
        expected, got = attention.weights @ attention.value.double(), attention.context.double()
        judged = (attention.allowed.any(-1, keepdim=True) & expected.isfinite()).expand_as(expected)
        size = expected[judged].square().mean().sqrt()
        apart = float(((got - expected).abs() / size)[judged].nan_to_num(torch.inf).max()) if judged.any() else 0.0
        if apart > _tolerance(attention.context.dtype):
            found.setdefault(attention.name, _finding(attention, apart))

    attentions(subject, facts, visit)
    yield from found.values()


def _tolerance(dtype: torch.dtype) -> float:
    return {torch.float64: 1e-8, torch.float32: 1e-3, torch.float16: 3e-2}.get(dtype, 1e-1)


def _finding(attention: Attention, apart: float) -> Finding:
    return Finding(
        ID,
        "error",
        f"{attention.title}: {attention.api} does not give softmax(scores) @ values",
        _EXPLANATION,
        {"largest relative difference from the formula in float64": apart},
        "Report it to the library with these inputs, and use another implementation meanwhile.",
        attention.name,
    )


def _alternatives(model: nn.Module) -> Iterator[tuple[str, Callable[[nn.Module], None]]]:
    """What can be switched, and how: transformers' implementations, flags that models have, torch's fused path."""
    config = getattr(model, "config", None)
    now = getattr(config, "_attn_implementation", None)
    if now in _IMPLEMENTATIONS and hasattr(model, "set_attn_implementation"):
        for name in _IMPLEMENTATIONS:
            if name != now:
                yield f"{name} in place of {now}", partial(_choose, name)
    flags = {name for one in model.modules() for name in _FLAGS if isinstance(getattr(one, name, None), bool)}
    for flag in sorted(flags):
        yield f"{flag} the other way", partial(_turn, flag)
    if any(isinstance(one, nn.MultiheadAttention | nn.TransformerEncoder) for one in model.modules()):
        yield (
            "torch's fused path switched over",
            lambda _: torch.backends.mha.set_fastpath_enabled(not torch.backends.mha.get_fastpath_enabled()),
        )


def _choose(name: str, model: Any) -> None:
    model.set_attn_implementation(name)
    if model.config._attn_implementation != name:
        raise ValueError(name)


def _turn(flag: str, model: nn.Module) -> None:
    for one in model.modules():
        if isinstance(getattr(one, flag, None), bool):
            setattr(one, flag, not getattr(one, flag))


def _run(subject: Subject, name: str, change: Callable[[nn.Module], None]) -> dict[str, Tensor] | None:
    """The outputs of the model changed so; None if it does not allow that."""
    other = copy_of(subject.model)
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        change(other)
        with torch.compiler.set_stance("force_eager") if "flex" in name else nullcontext():  # flex wants to compile
            return dict(flatten(subject.call(model=other)))
    except Exception:
        return None
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _compare(subject: Subject, facts: Facts, name: str, after: dict[str, Tensor]) -> Iterator[Finding]:
    apart = {
        output.title: float(moved.max())
        for output, moved in compared(facts, subject.base, after).items()
        if moved.numel() and moved.max() > max(1e-6, subject.tolerance)
    }
    if apart:
        yield Finding(
            ID,
            "error",
            f"with {name}, the outputs are others",
            _EXPLANATION,
            {f"largest relative difference of {title} at real positions": moved for title, moved in apart.items()},
            "Compare the two on one small example: print both masks and both scales, and make one function of them.",
        )
