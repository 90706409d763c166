"""How padding reaches real positions: by its contents, or by columns of it."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.edits import changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.padding_edits import Side, lengthened
from attentio.doctor.patient.subject import Subject, measured_once
from attentio.doctor.probes.comparison import compared, largest, with_positions, without_start
from attentio.doctor.probes.trace import ModuleCall, Still, first_moved, moved_last_state, traced, traced_example

EXTRA = 3
"""Columns of padding that are added."""


class PaddingLeak(NamedTuple):
    """sequence: whose padding. evidence: what was changed and what moved. where, module: through which it came."""

    sequence: SequenceInput
    evidence: dict[str, Any]
    where: str
    module: nn.Module | None

    @property
    def recurrent(self) -> bool:
        """Whether it came through a recurrent layer."""
        return isinstance(self.module, (nn.RNNBase, nn.RNNCellBase))


def has_left_padding(facts: Facts, sequence: SequenceInput) -> bool:
    """Whether a row of the example begins with padding."""
    real = facts.real(sequence)
    return bool((~real[:, 0] & real.any(dim=1)).any())


@measured_once
def padding_leaks(subject: Subject, facts: Facts, sees_future: frozenset[str]) -> list[PaddingLeak]:
    """For each sequence with padding that reaches real positions, how.

    sees_future: names of sequences that reach earlier outputs, and must not: what is said of those would follow.

    Raises:
        Skip: nothing was found, and a sequence could not be looked at.
    """
    found: list[PaddingLeak] = []
    unseen: list[Skip] = []
    follows, looked = None, 0
    for sequence in facts.sequences:
        if sequence.name not in facts.padding:
            continue
        if facts.padding[sequence.name].form == "token" and sequence.name in sees_future:
            follows = Skip(f"padding stands after all else in {sequence.name}, which sees what is later")
            continue
        reasons: list[Skip] = []
        for probe in _PROBES:
            try:
                one = probe(subject, facts, sequence)
            except Skip as reason:
                reasons.append(reason)
                continue
            if one is not None:
                found.append(one)
                break
        if len(reasons) < len(_PROBES):
            looked += 1
        else:
            unseen.append(Skip(f"{sequence.name}: {reasons[0]}"))
    if not found and unseen:
        raise unseen[0]
    if follows and not looked:
        raise follows
    return found


def _contents(subject: Subject, facts: Facts, sequence: SequenceInput) -> PaddingLeak | None:
    """Other contents at the padding behind the last real position."""
    padding, real = facts.padding[sequence.name], facts.real(sequence)
    behind = ~real & (torch.arange(sequence.length) > _last_real(real))
    if padding.form == "token" or not behind.any():
        raise Skip("the example has no padding whose contents could be changed")
    if _is_token(facts, sequence) and _takes_columns(subject, facts, sequence):
        raise Skip("padding is always the same token, and columns of it tell")
    values = changed(facts, sequence, behind)
    size, place = largest(compared(facts, subject.base, subject.run(values)))
    if size <= subject.tolerance:
        return None
    where, module = _where(subject, facts, traced_example(subject), values, Still(sequence, real))
    what = f"contents of {int(behind.sum())} padded positions of {sequence.name}"
    return PaddingLeak(sequence, {"changed": what, "moved most": place, "by (relative)": size}, where, module)


def _columns_at_end(subject: Subject, facts: Facts, sequence: SequenceInput) -> PaddingLeak | None:
    """Columns of padding at the end; and if the example had none, other contents in them."""
    longer, extra = _run_longer(subject, facts, sequence, "end")
    moves = [("columns", subject.base, longer)]
    if facts.padding[sequence.name].token is None and facts.real(sequence).all():
        other = subject.run(lengthened(facts, sequence, extra, "end", draw=1), what="with padding of other contents")
        moves.append(("contents of columns", longer, other))
    for moved, before, after in moves:
        size, place = largest(compared(facts, before, after))
        if size > subject.tolerance:
            what = f"{moved} of padding at the end of {sequence.name} ({extra} more)"
            where, module = _where_longer(subject, facts, sequence, extra)
            return PaddingLeak(sequence, {"changed": what, "moved most": place, "by (relative)": size}, where, module)
    return None


def _columns_at_start(subject: Subject, facts: Facts, sequence: SequenceInput) -> PaddingLeak | None:
    """Other contents in columns of padding at the start. What only moves with the columns is about positions."""
    if facts.padding[sequence.name].form != "mask":
        raise Skip("only a mask can put padding at the start")
    longer, extra = _run_longer(subject, facts, sequence, "start")
    longer = without_start(facts, longer, sequence, extra)
    if largest(with_positions(compared(facts, subject.base, longer)))[0] <= subject.tolerance:
        return None
    other = subject.run(lengthened(facts, sequence, extra, "start", draw=1), what="with padding of other contents")
    apart = compared(facts, longer, without_start(facts, other, sequence, extra))
    size, place = largest(with_positions(apart))
    recurrent = any(isinstance(module, (nn.RNNBase, nn.RNNCellBase)) for module in subject.model.modules())
    if size <= subject.tolerance or (recurrent and not has_left_padding(facts, sequence)):
        return None
    what = f"contents of {extra} columns of padding at the start of {sequence.name}"
    return PaddingLeak(sequence, {"changed": what, "moved most": place, "by (relative)": size}, "", None)


_PROBES = (_contents, _columns_at_end, _columns_at_start)


def _run_longer(subject: Subject, facts: Facts, sequence: SequenceInput, side: Side) -> tuple[dict[str, Tensor], int]:
    """With as many columns of padding as the model takes."""
    refused = None
    for extra in (EXTRA, 1):
        try:
            return subject.run(lengthened(facts, sequence, extra, side), what=f"with padding at the {side}"), extra
        except Skip as reason:
            refused = refused or reason
    raise refused or Skip("no columns of padding could be added")


def _is_token(facts: Facts, sequence: SequenceInput) -> bool:
    """Whether the example's padding is the token declared for it: a model may then find the last real one by it."""
    token, value = facts.padding[sequence.name].token, facts.values[sequence.name].cpu()
    if sequence.kind != "tokens" or token is None:
        return False
    return bool((sequence.batch_first(value)[~facts.real(sequence)] == token).all())


def _takes_columns(subject: Subject, facts: Facts, sequence: SequenceInput) -> bool:
    try:
        return bool(_run_longer(subject, facts, sequence, "end"))
    except Skip:
        return False


def _where_longer(subject: Subject, facts: Facts, sequence: SequenceInput, extra: int) -> tuple[str, nn.Module | None]:
    """Where contents of added columns first reach real positions; ("", None) if only their number matters."""
    one, other = (lengthened(facts, sequence, extra, "end", draw=draw) for draw in (1, 2))
    longer = replace(sequence, length=sequence.length + extra)
    real = torch.cat([facts.real(sequence), torch.zeros(sequence.batch_size, extra, dtype=torch.bool)], dim=1)
    where, module = _where(subject, facts, traced(subject, one), other, Still(longer, real))
    # Where only the token says what padding is, other contents are none; just a recurrent layer reads whatever comes.
    told = facts.padding[sequence.name].form != "token" or isinstance(module, (nn.RNNBase, nn.RNNCellBase))
    return (where, module) if told else ("", None)


def _where(
    subject: Subject, facts: Facts, before: list[ModuleCall], values: dict[str, Any], still: Still
) -> tuple[str, nn.Module | None]:
    """The module through which it came, `before` and with other `values`."""
    after = traced(subject, values)
    others = [Still(o, facts.real(o)) for o in facts.sequences if o.name != still.sequence.name]
    where, module = first_moved(before, after, [still, *others], subject.tolerance)
    return (where, module) if where else moved_last_state(before, after, subject.tolerance)


def _last_real(real: Tensor) -> Tensor:
    """[batch, 1]: the last position that is not padding."""
    return (real * torch.arange(1, real.shape[1] + 1)).amax(dim=1, keepdim=True) - 1
