"""An input on which nothing depends: the decoder never looks at its source, a mask or segment ids are not handed on.

Seen by other contents in all its positions at once, in a copy whose parameters are drawn apart: so that a branch behind
a gate at 0, as new models have it, is open.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.opened import opened

ID = "unused-inputs"
TITLE = "the outputs depend on every input"
NEEDS = ("rows",)
EXPLAINS = ("unused-parameters", "order-blind")


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Input by input; labels, and what says where padding is, are looked at by other checks."""
    looked = False
    for name, role in facts.roles.items():
        try:
            values = _other(facts, name)
            before = subject.run(model=opened(subject, facts).model)
            after = subject.run(values, model=opened(subject, facts).model, what=f"on another {name}")
        except Skip:
            continue
        looked = True
        if not _moved(before, after, subject.tolerance):
            yield _finding(name, sequence=role == "sequence")
    if not looked:
        raise Skip("no input could be changed")


def _other(facts: Facts, name: str) -> dict[str, Tensor]:
    role, value = facts.roles[name], facts.values[name]
    if role == "sequence":
        one = facts.sequence(name)
        return changed(facts, one, facts.real(one))
    if role == "pairs":
        other = value.flip(-1, -2)
    elif role == "companion":
        other = value.flip(1)
    elif role == "other" and value.is_floating_point() and value.numel() > 1:
        other = value + value.std().nan_to_num().clamp(min=1e-3)
    else:
        raise Skip("looked at by other checks")
    if torch.equal(other, value):
        raise Skip("it has no other contents in the example")
    return {name: other}


def _moved(before: dict[str, Tensor], after: dict[str, Tensor], tolerance: float) -> bool:
    return any(
        path not in after
        or tensor.shape != after[path].shape
        or bool((difference(tensor.reshape(-1, 1), after[path].reshape(-1, 1)) > tolerance).any())
        for path, tensor in before.items()
    )


def _finding(name: str, *, sequence: bool) -> Finding:
    return Finding(
        ID,
        "error" if sequence else "warning",
        f"nothing that the model returns depends on {name}",
        f"All of {name} was changed at once, and no output moved, although the parameters had been drawn apart before, "
        "so that no gate was shut. What is read there is lost on the way: an attention that is handed the wrong memory "
        "(the decoder's own states in place of the encoder's), a result that is not added, a variable that is "
        "overwritten, an argument that is not handed on.",
        {"changed": f"all of {name}", "moved": 0.0},
        "Follow it from the call to the outputs: attention to a source takes its keys and values from there, "
        "`self.cross(hidden, memory, memory)`; an argument that has no use should not be one.",
    )
