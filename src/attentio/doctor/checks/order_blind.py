"""The order of the tokens makes no difference: positions are not told, or are lost on the way.

Seen by putting the tokens of each row in another order: the outputs only come in the other order too. A causal model
tells order by what each position may see (such models work, without any positions): a note.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding, Severity, Skip
from attentio.doctor.patient.edits import all_alike, permuted
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.padding_edits import without_padding
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, watching
from attentio.doctor.probes.influence import influence

ID = "order-blind"
TITLE = "the order of the inputs makes a difference"
NEEDS = ("rows",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Sequence by sequence."""
    looked = False
    for one in facts.sequences:
        if one.length < 3 or not facts.outputs:
            continue
        looked = True
        if _is_blind(subject, facts, one):
            yield _finding(one)
        elif _is_alike(subject, facts, one):
            yield Finding(
                ID,
                "note",
                f"positions of {one.name} are told apart by the causal mask alone",
                f"With the same contents at every position of {one.name}, the outputs are the same at every position: "
                "there are no positions, and order is known only by how much each one may see. Causal language models "
                "work so too. If positions were meant, they do not arrive.",
                {"largest difference of outputs with the same contents everywhere": 0.0},
                "If they were meant: `hidden = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))`.",
            )
    if not looked:
        raise Skip("there is no sequence with three positions whose order could be changed")


def _is_blind(subject: Subject, facts: Facts, one: SequenceInput) -> bool:
    """Whether another order of the real positions does nothing but change the order of the outputs."""
    real = facts.real(one)
    order = torch.arange(one.length).expand(one.batch_size, -1).clone()
    for row in range(one.batch_size):
        places = real[row].nonzero().flatten()
        order[row, places] = places.roll(1)
    values = permuted(facts, one, order)
    if torch.equal(values[one.name], facts.values[one.name]):
        return False
    after = subject.run(values, what="in another order")
    mixes = False
    for output in facts.outputs:
        if output.path not in after or after[output.path].shape != subject.base[output.path].shape:
            return False
        old, new = output.batch_first(subject.base[output.path]), output.batch_first(after[output.path])
        if output.sequence == one.name:
            old = old[torch.arange(len(old)).unsqueeze(1), order[:, : old.shape[1]].clamp(max=old.shape[1] - 1)]
            mixes = mixes or _mixes(subject, facts, one)
            apart = difference(old, new).cpu()[real[:, : old.shape[1]]]
        else:
            mixes = True
            apart = difference(old, new).cpu()
        if apart.numel() and float(apart.max()) > subject.tolerance:
            return False
    return mixes


def _is_alike(subject: Subject, facts: Facts, one: SequenceInput) -> bool:
    """Whether the same contents everywhere give the same scores and outputs everywhere, though positions see others."""
    mine = [output for output in facts.outputs if output.sequence == one.name]
    if not mine or not _mixes(subject, facts, one):
        return False
    even: list[bool] = []
    with watching(subject, facts, lambda attention: even.append(_is_even(attention))):
        after = subject.run(without_padding(facts) | all_alike(facts, one), what="with the same contents everywhere")
    rows = [output.batch_first(after[output.path]) for output in mine if output.path in after]
    return bool(even and rows) and all(even) and all(_equal_rows(each, subject.tolerance) for each in rows)


def _is_even(attention: Attention) -> bool:
    """Whether no score differs from another of its head and row: rotations and biases would make it."""
    known = attention.scores[0, 0][attention.allowed[0, 0]]
    return bool(known.numel()) and float(known.max() - known.min()) <= 1e-7 * float(known.abs().max())


def _equal_rows(rows: Tensor, tolerance: float) -> bool:
    return bool((difference(rows[:, :1].expand_as(rows), rows) <= tolerance).all())


def _mixes(subject: Subject, facts: Facts, one: SequenceInput) -> bool:
    """Whether one position reaches another at all."""
    measured = influence(subject, facts, one)
    for apart in measured.apart.values():
        moved = apart > subject.tolerance
        for row, position in enumerate(measured.positions):
            if moved[row, :position].any() or moved[row, position + 1 :].any():
                return True
    return False


def _finding(one: SequenceInput) -> Finding:
    severity: Severity = "warning" if one.kind == "tokens" else "note"
    return Finding(
        ID,
        severity,
        f"the order of {one.name} makes no difference",
        f"The real positions of every row of {one.name} were put in another order, and each got the result that it had "
        "before: to the model it is a bag of tokens. Attention by itself does not know order; positions must be added "
        "to the embeddings, or act on the scores. Either there are none, or they do not arrive."
        + ("" if severity == "warning" else " Features may have their positions in them already."),
        {"largest difference to the same results in the other order (relative)": 0.0},
        "`hidden = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))`, or a rotation of queries and keys. If "
        "the input is a set, nothing is to be done.",
    )
