"""A mask read the wrong way round: True = may attend in one function, True = ignore in the other.

Padding: what stands at the padded positions moves the results of the real ones, and what stands at the real ones does
not. Causal: every output depends on later inputs, and none on earlier ones. Both are seen by changing inputs.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Finding
from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.patient import Patient

ID = "inverted-polarity"
TITLE = "masks are read the way they are meant"
NEEDS = ("positions",)
EXPLAINS = ("fully-masked-rows", "padding-leak", "encoder-reads-padding", "positions-ignore-padding", "future-leak")

_CURE = (
    "F.scaled_dot_product_attention reads True = may attend; nn.MultiheadAttention and nn.Transformer read True = "
    "ignore; masked_fill(mask, -inf) fills where True. Put ~mask in place of mask, or keep one meaning everywhere and "
    "turn it at the border."
)


def check(patient: Patient) -> Iterator[Finding]:
    """Change the padding, then one real position; then the first and the last position."""
    for sequence in patient.sequences:
        if sequence.name in patient.padding:
            yield from _padding(patient, sequence)
        if patient.causal is not False and sequence.length > 2:
            yield from _causal(patient, sequence)


def _padding(patient: Patient, sequence: SequenceInput) -> Iterator[Finding]:
    real = patient.real(sequence)
    mixed = (real.sum(1) >= 3) & ~real.all(1)
    if not mixed.any():
        return
    first = torch.zeros_like(real)
    first[torch.arange(len(real)), real.int().argmax(1)] = True
    by_padding = _moved(patient, sequence, ~real, real & ~first, mixed)
    by_real = _moved(patient, sequence, first, real & ~first, mixed)
    if by_padding > patient.tolerance >= by_real:
        yield Finding(
            ID,
            "error",
            f"padding of {sequence.name} is read, and its real positions are ignored",
            "The mask of padding says True for one thing, and the attention that it is given to reads True as the "
            "opposite. So every real position attends to the padding and to nothing else. The model still trains, "
            "because each position keeps its own input, but no position ever sees another one.",
            {
                "largest relative move of real positions when the padding changes": by_padding,
                "largest relative move of the others when the first real position changes": by_real,
                "rows looked at": int(mixed.sum()),
            },
            _CURE,
        )


def _moved(patient: Patient, sequence: SequenceInput, where: Tensor, seen: Tensor, rows: Tensor) -> float:
    """How far outputs move in `rows` when the input changes at `where`: those at `seen`, or of another sequence."""
    after = patient.run({sequence.name: patient.changed(sequence, where)}, what="on other contents")
    largest = 0.0
    for output, apart in patient.differences(after).items():
        if output.sequence is None or apart.shape[0] != len(rows):
            continue
        other = patient.real(patient.sequence(output.sequence)) if output.sequence != sequence.name else seen
        looked_at = (rows.unsqueeze(1) & other)[:, : apart.shape[1]]
        moved = apart.cpu()[looked_at]
        largest = max(largest, float(moved.max()) if moved.numel() else 0.0)
    return largest


def _causal(patient: Patient, sequence: SequenceInput) -> Iterator[Finding]:
    places = torch.arange(sequence.length).expand(sequence.rows, -1)
    real = patient.real(sequence)
    last = real & (real.flip(1).cumsum(1).flip(1) == 1)
    first = real & (real.cumsum(1) == 1)
    inside = real & ~first & ~last & (places > 0)
    rows = inside.any(1)
    if not rows.any():
        return
    own = [output for output in patient.outputs if output.sequence == sequence.name]
    if not own:
        return
    by_first = _moved_own(patient, sequence, first, inside, rows)
    by_last = _moved_own(patient, sequence, last, inside, rows)
    if by_last > patient.tolerance >= by_first:
        yield Finding(
            ID,
            "error" if patient.causal else "warning",
            f"every position of {sequence.name} sees what comes after it, and nothing that comes before",
            "This is a causal mask read the wrong way round: what it forbids is allowed, and what it allows is "
            "forbidden. In training the loss falls fast, because the next token can be seen; in use there is none.",
            {
                "largest relative move of later outputs when the first position changes": by_first,
                "largest relative move of earlier outputs when the last position changes": by_last,
            },
            _CURE,
        )


def _moved_own(patient: Patient, sequence: SequenceInput, where: Tensor, seen: Tensor, rows: Tensor) -> float:
    after = patient.run({sequence.name: patient.changed(sequence, where)}, what="on other contents")
    moves = [
        apart.cpu()[seen[:, : apart.shape[1]]]
        for output, apart in patient.differences(after).items()
        if output.sequence == sequence.name and apart.shape[0] == len(rows)
    ]
    return max((float(moved.max()) for moved in moves if moved.numel()), default=0.0)
