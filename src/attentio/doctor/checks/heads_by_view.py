"""Heads that are made by a view without a transpose: each head then holds some positions, not some features.

`x.view(batch, heads, n, d)` of [batch, n, heads * d] runs, and cuts the sequence in pieces; the same on the way back.
Seen by one position of what an attention's module is given: in every head the scores of that position must move, and no
others; and by the gradient of what the module returns at one position on the context.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import one_changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, watching
from attentio.doctor.probes.opened import opened
from attentio.doctor.probes.trace import by_position

ID = "heads-by-view"
TITLE = "every head sees every position"
NEEDS = ("positions",)
EXPLAINS = (
    "future-leak",
    "length-dependence",
    "teacher-forcing-leak",
    "padding-leak",
    "inverted-polarity",
    "order-blind",
)

Slots = set[tuple[int, int]]
"""Places (head, position) in an attention."""


Given = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module is called with, by place and by name."""


class Misplaced(NamedTuple):
    """name: of the attention. way: what is wrong. position: that was looked at. slots: where it was found."""

    name: str
    way: str
    position: int
    slots: Slots


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Each module with attention of several heads, on the way in and on the way out."""
    given: dict[str, Given] = {}

    def noted(name: str, now: Given) -> Given:
        given.setdefault(name, _each(now, lambda one: one.clone()))
        return now

    base = _seen(subject, facts, {}, noted)
    names = list(dict.fromkeys(one.name for one in base if one.scores.shape[1] > 1))
    if not names:
        raise Skip("no attention of several heads was seen")
    found: dict[str, Misplaced] = {}
    for sequence in facts.sequences:
        for one in (*_split(subject, facts, base, given, sequence), *_merged(subject, facts, names, sequence)):
            found.setdefault(one.name, one)
    yield from map(_finding, found.values())


def _split(
    subject: Subject, facts: Facts, base: list[Attention], given: dict[str, Given], sequence: SequenceInput
) -> Iterator[Misplaced]:
    """What moves in the scores with one position of what each module is given, all else as in the example."""
    position = _middle(facts, sequence)
    again = {one.name: given[one.name] for one in base if one.name}

    def disturbed(name: str, now: Given) -> Given:
        if name not in again:
            return now
        return _each(again.pop(name), lambda one: _changed(one, sequence, position))

    try:
        values = one_changed(facts, sequence, position)  # for attention outside of all modules
        after = _seen(subject, facts, values, disturbed)
    except Skip:
        return
    if [one.name for one in after] != [one.name for one in base]:
        return
    looked: set[str] = set()
    for one, other in zip(base, after, strict=True):
        if one.name in looked:
            continue
        looked.add(one.name)
        for axis in (-1, -2):  # all keys of a query moved; all queries of a key moved
            slots = _moved(one, other, axis, subject.tolerance)
            way = _misplaced(slots, one, axis, position, sequence.length)
            if way:
                yield Misplaced(one.name, way, position, slots)
                break


def _merged(subject: Subject, facts: Facts, names: list[str], sequence: SequenceInput) -> Iterator[Misplaced]:
    """Of which slots of the context each module's result at one position is made."""
    position = _middle(facts, sequence)
    seen: list[Attention] = []
    returned: dict[str, list[Tensor]] = {}
    model = opened(subject, facts).model
    hooks = [model.get_submodule(name).register_forward_hook(partial(_note, returned, name)) for name in names]
    try:
        with watching(subject, facts, seen.append, model):
            subject.call(model=model, grad=True)
    finally:
        for hook in hooks:
            hook.remove()
    for name in names:
        mine = next(one for one in seen if one.name == name)
        context = mine.context
        as_heads = context.ndim == 4 and context.shape[1:3] == (mine.scores.shape[1], sequence.length)
        if mine.api == "multihead" or not as_heads or not context.requires_grad:
            continue
        for tensor in returned.get(name, ()):
            rows = by_position(tensor, sequence)
            if rows is None or not rows.requires_grad:
                continue
            draw = torch.randn(rows.shape[2], generator=torch.Generator().manual_seed(4), dtype=torch.float64)
            total = (rows[0, position] * draw.to(rows)).sum()
            (gradient,) = torch.autograd.grad(total, context, retain_graph=True, allow_unused=True)
            if gradient is None:
                continue
            size = gradient[0].abs().amax(-1)
            slots = {(int(h), int(s)) for h, s in (size > 1e-9 * size.max()).nonzero()}
            way = _misplaced(slots, mine, -1, position, sequence.length)
            if way:
                yield Misplaced(name, way, position, slots)
            break


def _middle(facts: Facts, sequence: SequenceInput) -> int:
    real = facts.real(sequence)[0].nonzero().flatten()
    return int(real[len(real) // 2])


def _seen(
    subject: Subject, facts: Facts, values: dict[str, Tensor], give: Callable[[str, Given], Given]
) -> list[Attention]:
    """The attentions of a run, in which each module but the outermost is given what `give` makes of what it was to
    be."""
    seen: list[Attention] = []
    hooks = [
        module.register_forward_pre_hook(partial(_give, give, name), with_kwargs=True)
        for name, module in subject.model.named_modules()
        if name
    ]
    try:
        with watching(subject, facts, seen.append):
            subject.run(values, what="while its attention was watched")
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _give(give: Callable[[str, Given], Given], name: str, _: nn.Module, args: Any, kwargs: Any) -> Given:
    return give(name, (args, kwargs))


def _note(returned: dict[str, list[Tensor]], name: str, _: nn.Module, given: Any, result: Any) -> None:
    returned.setdefault(name, [one for _, one in flatten(result)])


def _each(given: Given, change: Callable[[Tensor], Tensor]) -> Given:
    """With every tensor changed."""
    args, kwargs = given

    def one(value: Any) -> Any:
        return change(value) if isinstance(value, Tensor) else value

    return tuple(map(one, args)), {name: one(value) for name, value in kwargs.items()}


def _changed(value: Tensor, sequence: SequenceInput, position: int) -> Tensor:
    """With other numbers at one position, if it has the positions of the sequence."""
    changed = value.clone()
    rows = by_position(changed, sequence) if value.is_floating_point() and value.ndim == 3 else None
    if rows is not None:
        noise = torch.randn(rows.shape[2], generator=torch.Generator().manual_seed(position), dtype=torch.float64)
        rows[:, position] += (noise * float(value.std())).to(value)
    return changed


def _moved(before: Attention, after: Attention, axis: int, tolerance: float) -> Slots:
    """Where all allowed scores along `axis` moved, of two or more."""
    if before.scores.shape != after.scores.shape:
        return set()
    allowed = (before.allowed & after.allowed & before.scores.isfinite() & after.scores.isfinite())[0]
    size = before.scores[0][allowed].square().mean().sqrt() if allowed.any() else 1.0
    moved = ((before.scores[0] - after.scores[0]).abs() > tolerance * size) & allowed
    all_of_them = (moved | ~allowed).all(axis) & (allowed.sum(axis) >= 2)
    return {(int(h), int(s)) for h, s in all_of_them.nonzero()}


def _misplaced(slots: Slots, attention: Attention, axis: int, position: int, length: int) -> str:
    """How these slots say that heads were made; "" where they are right, or say nothing."""
    heads, queries, keys = attention.scores.shape[1:]
    places = queries if axis == -1 else keys
    if heads == length != places:  # heads and positions have changed places
        return "exchanged" if len(slots) > 1 and slots <= {(position, j) for j in range(places)} else ""
    if places != length or len(slots) < 2:
        return ""
    aligned = {(h, position) for h in range(heads)}
    cut = {divmod(i, length) for i in range(position * heads, (position + 1) * heads)}
    return "cut" if slots <= cut and not slots <= aligned else ""


def _finding(found: Misplaced) -> Finding:
    if found.way == "exchanged":
        what = (
            "The heads stand where the positions should, and the other way round: each position attends to its own "
            "heads, and no position ever sees another."
        )
    else:
        what = (
            "A position does not stand at its own place in every head, but at several places of one head: the sequence "
            "was cut in pieces, one a head, and the features with it. Positions in different pieces never see each "
            "other, and a mask forbids others than it is meant to."
        )
    return Finding(
        ID,
        "error",
        f"{found.name or 'the model'}: heads are mixed with positions",
        f"{what} It runs, since the sizes fit, and even learns. `view` and `reshape` only count numbers; to bring the "
        "heads before the positions takes a transpose, after splitting and before joining.",
        {
            "position looked at": found.position,
            "found at (head, position)": sorted(found.slots)[:8],
            "expected": "the same position in every head",
        },
        "`q = q.view(batch, n, heads, d).transpose(1, 2)`, and back: "
        "`context.transpose(1, 2).reshape(batch, n, heads * d)`.",
        found.name,
    )
