"""How far the results of real positions, or of whole rows, are apart in two runs."""

from torch import Tensor

from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output, difference


def compared(
    facts: Facts, before: dict[str, Tensor], after: dict[str, Tensor], *, rows: Tensor | None = None
) -> dict[Output, Tensor]:
    """How far each position [batch, positions] is apart, 0 at padding, or each row [batch] of other outputs.

    Outputs with more positions in one of the two are compared at those that both have; with other features, not at all.

    Args:
        rows: those of the example that are the first rows of `after`, where the batch was composed anew.
    """
    found = {}
    for output in facts.outputs:
        old, new = before.get(output.path), after.get(output.path)
        if old is None or new is None or new.ndim != old.ndim:
            continue
        old, new = output.batch_first(old), output.batch_first(new)
        if rows is not None:
            old, new = old[rows], new[: len(rows)]
        if output.sequence is not None:
            shared = min(old.shape[1], new.shape[1])
            old, new = old[:, :shared], new[:, :shared]
        if old.shape != new.shape:
            continue
        found[output] = difference(old, new).cpu()
        if output.sequence is not None:
            real = facts.real(facts.sequence(output.sequence))[:, :shared]
            found[output] = found[output][:, : real.shape[1]]  # both may be longer than the example
            found[output] = found[output].masked_fill(~(real if rows is None else real[rows]), 0.0)
    return found


def real_outputs(facts: Facts, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of real positions, 0 elsewhere, of whole rows, and scalars, such as a loss; of what there is."""
    found = {path: tensor for path, tensor in outputs.items() if tensor.ndim == 0}
    for output in facts.outputs:
        one = outputs.get(output.path)
        if one is None or one.ndim < (1 if output.sequence is None else 2):
            continue
        rows = output.batch_first(one)
        if output.sequence is not None:
            real = facts.real(facts.sequence(output.sequence))[:, : rows.shape[1]]
            rows = rows.masked_fill(~real.unsqueeze(2).to(rows.device), 0.0)
        found[output.path] = rows
    return found


def without_start(facts: Facts, outputs: dict[str, Tensor], sequence: SequenceInput, extra: int) -> dict[str, Tensor]:
    """Outputs with the positions of `sequence`, without the first `extra` of them, which were added."""
    mine = [one for one in facts.outputs if one.sequence == sequence.name and one.path in outputs]
    shorter = {}
    for one in mine:
        tensor, axis = outputs[one.path], 1 - one.batch_axis
        shorter[one.path] = tensor.narrow(axis, extra, tensor.shape[axis] - extra)
    return outputs | shorter


def with_positions(apart: dict[Output, Tensor]) -> dict[Output, Tensor]:
    """Without outputs of whole rows: what pools the first position reads padding that stands there, by its nature."""
    return {output: tensor for output, tensor in apart.items() if output.sequence is not None}


def largest(apart: dict[Output, Tensor]) -> tuple[float, str]:
    """The largest of these differences, and where it is, in words."""
    best, said = 0.0, ""
    for output, tensor in apart.items():
        if tensor.numel() and float(tensor.max()) > best:
            best = float(tensor.max())
            place = (tensor == tensor.max()).nonzero()[0].tolist()
            said = f"{output.title}, row {place[0]}" + (f", position {place[1]}" if len(place) > 1 else "")
    return best, said
