"""A result depends on what the model was asked before.

Usual: a mask that is made in the first call and kept, whatever comes in the second; kept by its shape, it belongs to
other sentences of the same length. Or what was computed last (an average, a state, a cache on the module) goes into
what is computed next. Seen with new copies: what the example gives after another call, and after itself, is compared
with what it gives in the first.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import picked, sliced
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.padding import padded_value
from attentio.doctor.patient.padding_edits import without_padding
from attentio.doctor.patient.subject import Subject

ID = "remembers-calls"
TITLE = "a result does not depend on the calls before"
NEEDS = ()
EXPLAINS = (
    "inverted-polarity",
    "batch-dependence",
    "future-leak",
    "length-dependence",
    "teacher-forcing-leak",
    "padding-leak",
    "encoder-reads-padding",
    "positions-ignore-padding",
    "cached-differs",
    "window-off-by-one",
    "loss-counts-padding",
    "unused-inputs",
    "unused-parameters",
    "lost-gradient",
    "order-blind",
    "train-eval-differ",
    "batch-statistics",
    "backends-disagree",
)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Another call before the example's, and after it: each beside the same call in a new copy."""
    model = subject.fresh()
    subject.run(model=model)
    if evidence := _apart(subject, "the example, after itself", {}, model, subject.base):
        yield _finding("the same example", evidence, _WHAT_WAS_COMPUTED, _HAND_ON)
        return
    facts.require("rows")
    looked = False
    for what, make in _others(facts).items():
        model = subject.fresh()
        try:
            values = make()
            other = subject.run(values, model=model, what=f"on {what}")
        except Skip:
            continue
        looked = True
        # The subject's own copy was called on the example first of all.
        evidence = _apart(subject, "the example, after it", {}, model, subject.base)
        evidence |= _apart(subject, "it, after the example", values, subject.model, other)
        if evidence:
            yield _finding(what, evidence, _A_MASK, _MAKE_IT)
            return
    if not looked:
        raise Skip("the model takes no other inputs than the example's")


def _apart(
    subject: Subject, said: str, values: dict[str, Any], model: nn.Module, alone: dict[str, Tensor]
) -> dict[str, Any]:
    """How far results of a copy that was called before are from those of a new one."""
    try:
        after = subject.run(values, model=model)
    except Skip as reason:
        return {said: str(reason)}
    apart = [
        float(difference(tensor, after[path]).max())
        for path, tensor in alone.items()
        if path in after and tensor.shape == after[path].shape and tensor.ndim and tensor.numel()
    ]
    largest = max(apart, default=0.0)
    return {f"{said}, moved by (relative)": largest} if largest > subject.tolerance else {}


def _others(facts: Facts) -> dict[str, Callable[[], dict[str, Any]]]:
    """Other inputs, of the same shape first: what is kept by shape is then still there."""
    rows = torch.arange(facts.batch_size)
    ways: dict[str, Callable[[], dict[str, Any]]] = {"the example padded otherwise": lambda: _padded_otherwise(facts)}
    if len(rows) > 1:
        ways["the example with its rows turned round"] = lambda: picked(facts, rows.flip(0))
    masks = {name: facts.values[name] for name, role in facts.roles.items() if role == "pairs"}
    if masks:
        ways["the example with its masks turned round"] = lambda: {n: one.flip(-1, -2) for n, one in masks.items()}
    for one in facts.sequences:
        if one.length >= 4:
            ways[f"the first half of {one.name}"] = partial(sliced, facts, one, 0, one.length // 2, keys_from=0)
    return ways


def _padded_otherwise(facts: Facts) -> dict[str, Any]:
    """No padding where the example has some; where it has none, the second half of the first row as padding."""
    if any(not bool(facts.real(one).all()) for one in facts.sequences):
        return without_padding(facts)
    values: dict[str, Any] = {}
    for one in facts.sequences:
        source = facts.padding.get(one.name)
        if source is not None and source.name is not None:
            told, half = facts.values[source.name].clone(), max(1, one.length // 2)
            if source.form == "lengths":
                told[0] = half
            else:
                told[0, half:] = padded_value(told, source.real_value)
            values[source.name] = told
    if not values:
        raise Skip("nothing says what padding is")
    return values


_A_MASK = (
    "a mask that is made once (`if self.mask is None:`) although it belongs to these sentences, or that is found again "
    "by the shape of the batch, which another batch has too."
)
_MAKE_IT = (
    "Make the mask in every call from what it is made of; keep only what depends on nothing but sizes, under all of "
    "them, as `functools.cache` does for `causal_mask(length, device)`."
)
_WHAT_WAS_COMPUTED = (
    "what was computed goes into what is computed next: a state, a cache or a running mean on the module, or a "
    "generator of random numbers of its own."
)
_HAND_ON = "Hand state on as argument and return value: `output, state = layer(x, state)`."


def _finding(what: str, evidence: dict[str, Any], mostly: str, cure: str) -> Finding:
    return Finding(
        ID,
        "error",
        "a result depends on what the model was called with before",
        f"Two new copies of the model were used: one was called once, the other was called before on {what}. The same "
        f"inputs gave another result, or none. Something is kept from the first call to the next: mostly {mostly}",
        evidence,
        cure,
    )
