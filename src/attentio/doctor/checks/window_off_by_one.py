"""A window reaches further, or less far, than it was said to.

Is a window of 4 four tokens, or four before the token itself? Off by one, each layer sees one more or one less than in
training or than the published model. Seen by changing the first position: how far behind it the outputs of every module
move. Layer upon layer the reach grows; by how much at once is the window of that layer.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.edits import one_changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.influence import real_positions
from attentio.doctor.probes.trace import moved_by_position, traced, traced_example

ID = "window-off-by-one"
TITLE = "a window reaches as far as it was said to"
NEEDS = ("positions",)


class Reach(NamedTuple):
    """By how many positions the reach grew at once, in which module. cut: the example ended there, it may be more."""

    by: int
    where: str
    cut: bool


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Measure both sides of the window."""
    before, after, told = _declared(subject, facts)
    if len(facts.sequences) != 1:
        raise Skip("the model has more than one sequence")
    sequence = facts.sequences[0]
    positions = real_positions(facts, sequence)
    for side, declared in (("before", before), ("after", after)):
        if positions[-1] - positions[0] <= declared:
            raise Skip(f"the example has {len(positions)} positions; to see a window of {declared} it needs more")
        grown = _grown(subject, facts, sequence, positions[0] if side == "before" else positions[-1], side)
        if not grown and declared:
            raise Skip("no module was found whose outputs show how far it reaches")
        wrong = [one for one in grown if one.by != declared and not _explained(subject, facts, one, declared)]
        if wrong:
            yield _finding(side, declared, told, wrong[0])


def _declared(subject: Subject, facts: Facts) -> tuple[int, int, str]:
    if facts.told.window is not None:
        return *facts.told.window, f"window={facts.told.window}"
    config = getattr(subject.model, "config", None)
    try:
        sliding, around = getattr(config, "sliding_window", None), getattr(config, "attention_window", None)
    except Exception as error:  # some say so where each layer has its own
        raise Skip(f"no one window was declared: {str(error).strip()[:200]}") from error
    if isinstance(sliding, int) and sliding > 0 and getattr(config, "use_sliding_window", True):
        return sliding - 1, 0, f"config.sliding_window = {sliding}, the token itself included"
    if isinstance(around, (list, tuple)) and len(set(around)) == 1:
        around = around[0]
    if isinstance(around, int) and around > 1:
        return around // 2, around // 2, f"config.attention_window = {around}, half of it on each side"
    raise Skip("no window was declared: give window=(before, after)")


def _explained(subject: Subject, facts: Facts, reach: Reach, declared: int) -> bool:
    """By the end of the example; by a layer without a window among others; by several layers seen at once."""
    if reach.cut and (reach.by < declared or facts.told.window is None):
        return True
    inside = subject.model.get_submodule(reach.where).modules()
    layers = max((len(module) for module in inside if isinstance(module, nn.ModuleList)), default=1)
    return declared > 0 and reach.by % declared == 0 and reach.by // declared <= layers


def _grown(subject: Subject, facts: Facts, sequence: SequenceInput, changed: int, side: str) -> list[Reach]:
    before, after = traced_example(subject), traced(subject, one_changed(facts, sequence, changed))
    furthest = sequence.length - 1 - changed if side == "before" else changed
    reach, grown = 0, []
    for old, new in zip(before, after, strict=True):
        returned = _reach(subject, old.returned, new.returned, sequence, changed, side)
        if returned > reach:
            inside = returned > _reach(subject, old.given, new.given, sequence, changed, side)
            where = old.name if inside else old.name.rpartition(".")[0]
            grown.append(Reach(returned - reach, where, returned == furthest))
            reach = returned
    return grown


def _reach(
    subject: Subject, old: list[Tensor], new: list[Tensor], sequence: SequenceInput, changed: int, side: str
) -> int:
    """The largest distance on this side at which one of the tensors moved."""
    reach = 0
    for before, after in zip(old, new, strict=False):
        apart = moved_by_position(before, after, sequence)
        if apart is None:
            continue
        moved = (apart.cpu() > subject.tolerance).any(dim=0).nonzero().flatten()
        if len(moved):
            reach = max(reach, int(moved[-1]) - changed if side == "before" else changed - int(moved[0]))
    return reach


def _finding(side: str, declared: int, told: str, reach: Reach) -> Finding:
    return Finding(
        ID,
        "error",
        f"a window reaches {reach.by} tokens {'back' if side == 'before' else 'ahead'}, not {declared}",
        f"The window was declared by {told}: {declared} tokens on this side of the token itself. One position was "
        f"changed, and what moved shows that one layer reaches {reach.by}. Every layer more adds the same error, and "
        "a model that was trained with another window sees keys it never saw, or misses some. Usually `<` stands for "
        "`<=`, or the token itself is counted in one place and not in the other.",
        {"declared": declared, "measured": reach.by, "side": side},
        "Write what is kept, in tokens: `keep = (q - k <= before) & (k - q <= after)`; in attentio "
        "`at.window(before, after)`, the token itself always included.",
        reach.where,
    )
