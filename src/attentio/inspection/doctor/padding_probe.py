"""What padding does to real positions, measured once for the checks that ask: by its contents, by columns of it."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attentio.inspection.doctor.diagnosis import Skip
from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.lengthened import compared, largest, lengthened, with_positions
from attentio.inspection.doctor.patient import Patient
from attentio.inspection.doctor.trace import Still, first_moved, listen, moved_last_state

EXTRA = 3
"""Columns of padding that are added."""


class Probe(NamedTuple):
    """sequence: whose padding. evidence: what was changed and what moved. where, module: through which it came."""

    sequence: SequenceInput
    evidence: dict[str, Any]
    where: str
    module: nn.Module | None

    @property
    def recurrent(self) -> bool:
        """Whether it came through a recurrent layer."""
        return isinstance(self.module, (nn.RNNBase, nn.RNNCellBase))


def padding_probes(patient: Patient) -> list[Probe]:
    """For each sequence with padding that reaches real positions, how."""
    return patient.remember("padding", lambda: _probe_all(patient))


def has_left_padding(patient: Patient, sequence: SequenceInput) -> bool:
    """Whether a row of the example begins with padding."""
    real = patient.real(sequence)
    return bool((~real[:, 0] & real.any(dim=1)).any())


def _probe_all(patient: Patient) -> list[Probe]:
    found, refused, looked = [], None, False
    for sequence in patient.sequences:
        if sequence.name not in patient.padding:
            continue
        if patient.padding[sequence.name].form == "token" and sequence.name in patient.sees_future:
            refused = Skip(f"padding stands after all else in {sequence.name}, which sees what is later")
            continue
        for probe in (_contents, _columns_at_end, _columns_at_start):
            try:
                one = probe(patient, sequence)
                looked = True
            except Skip as reason:
                refused = refused or reason
                continue
            if one is not None:
                found.append(one)
                break
    if refused and not looked:
        raise refused
    return found


def _contents(patient: Patient, sequence: SequenceInput) -> Probe | None:
    """Other contents at the padding behind the last real position."""
    padding, real = patient.padding[sequence.name], patient.real(sequence)
    behind = ~real & (torch.arange(sequence.length) > _last_real(real))
    if padding.form == "token" or not behind.any():
        raise Skip("the example has no padding whose contents could be changed")
    if _is_token(patient, sequence) and _takes_columns(patient, sequence):
        raise Skip("padding is always the same token, and columns of it tell")
    values = {sequence.name: patient.changed(sequence, behind)}
    size, place = largest(compared(patient, patient.base, patient.run(values), sequence))
    if size <= patient.tolerance:
        return None
    where, module = _where(patient, None, values, Still(sequence, real))
    changed = f"contents of {int(behind.sum())} padded positions of {sequence.name}"
    return Probe(sequence, {"changed": changed, "moved most": place, "by (relative)": size}, where, module)


def _columns_at_end(patient: Patient, sequence: SequenceInput) -> Probe | None:
    """Columns of padding at the end; and if the example had none, other contents in them."""
    longer, extra = _run_longer(patient, sequence, "end")
    moves = [("columns", patient.base, longer)]
    if patient.padding[sequence.name].token is None and patient.real(sequence).all():
        other = patient.run(lengthened(patient, sequence, extra, "end", draw=1), what="with padding of other contents")
        moves.append(("contents of columns", longer, other))
    for what, before, after in moves:
        size, place = largest(compared(patient, before, after, sequence))
        if size > patient.tolerance:
            changed = f"{what} of padding at the end of {sequence.name} ({extra} more)"
            where, module = _where_longer(patient, sequence, extra)
            return Probe(sequence, {"changed": changed, "moved most": place, "by (relative)": size}, where, module)
    return None


def _columns_at_start(patient: Patient, sequence: SequenceInput) -> Probe | None:
    """Other contents in columns of padding at the start. What only moves with the columns is about positions."""
    if patient.padding[sequence.name].form != "mask":
        return None
    longer, extra = _run_longer(patient, sequence, "start")
    if largest(with_positions(compared(patient, patient.base, longer, sequence, extra)))[0] <= patient.tolerance:
        return None
    other = patient.run(lengthened(patient, sequence, extra, "start", draw=1), what="with padding of other contents")
    apart = compared(patient, _without_start(patient, longer, sequence, extra), other, sequence, extra)
    size, place = largest(with_positions(apart))
    recurrent = any(isinstance(module, (nn.RNNBase, nn.RNNCellBase)) for module in patient.model.modules())
    if size <= patient.tolerance or (recurrent and not has_left_padding(patient, sequence)):
        return None
    changed = f"contents of {extra} columns of padding at the start of {sequence.name}"
    return Probe(sequence, {"changed": changed, "moved most": place, "by (relative)": size}, "", None)


def _without_start(
    patient: Patient, outputs: dict[str, Tensor], sequence: SequenceInput, extra: int
) -> dict[str, Tensor]:
    mine = [output for output in patient.outputs if output.sequence == sequence.name]
    return {**outputs, **{one.path: outputs[one.path].narrow(1 - one.batch, extra, sequence.length) for one in mine}}


def _run_longer(patient: Patient, sequence: SequenceInput, side: Any) -> tuple[dict[str, Tensor], int]:
    """With as many columns of padding as the model takes."""
    refused = None
    for extra in (EXTRA, 1):
        try:
            return patient.run(lengthened(patient, sequence, extra, side), what=f"with padding at the {side}"), extra
        except Skip as reason:
            refused = refused or reason
    raise refused or Skip("no columns of padding could be added")


def _is_token(patient: Patient, sequence: SequenceInput) -> bool:
    """Whether the example's padding is the token declared for it: a model may then find the last real one by it."""
    token, value = patient.padding[sequence.name].token, patient.inputs.values[sequence.name].cpu()
    if sequence.kind != "tokens" or token is None:
        return False
    return bool(((value.T if sequence.batch == 1 else value)[~patient.real(sequence)] == token).all())


def _takes_columns(patient: Patient, sequence: SequenceInput) -> bool:
    try:
        return bool(_run_longer(patient, sequence, "end"))
    except Skip:
        return False


def _where_longer(patient: Patient, sequence: SequenceInput, extra: int) -> tuple[str, nn.Module | None]:
    """Where contents of added columns first reach real positions; ("", None) if only their number matters."""
    one, other = (lengthened(patient, sequence, extra, "end", draw=draw) for draw in (1, 2))
    longer = replace(sequence, length=sequence.length + extra)
    real = torch.cat([patient.real(sequence), torch.zeros(sequence.rows, extra, dtype=torch.bool)], dim=1)
    where, module = _where(patient, one, other, Still(longer, real))
    # Where only the token says what padding is, other contents are none; just a recurrent layer reads whatever comes.
    told = patient.padding[sequence.name].form != "token" or isinstance(module, (nn.RNNBase, nn.RNNCellBase))
    return (where, module) if told else ("", None)


def _where(
    patient: Patient, one: dict[str, Any] | None, other: dict[str, Any], still: Still
) -> tuple[str, nn.Module | None]:
    before, after = listen(patient, one), listen(patient, other)
    others = [Still(o, patient.real(o)) for o in patient.sequences if o.name != still.sequence.name]
    where, module = first_moved(before, after, [still, *others], patient.tolerance)
    return (where, module) if where else moved_last_state(before, after, patient.tolerance)


def _last_real(real: Tensor) -> Tensor:
    """[batch, 1]: the last position that is not padding."""
    return (real * torch.arange(1, real.shape[1] + 1)).amax(dim=1, keepdim=True) - 1
