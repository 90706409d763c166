"""The same model gives other results in training than in evaluation, though nothing is dropped.

A mask, a scale or a shortcut that only one of the two modes has: what is measured is another model than the one that
was trained. Seen by running a copy in training mode, with every dropout off and kept statistics as in evaluation.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.comparison import compared, largest
from attentio.doctor.probes.trace import first_apart, traced, traced_example
from attentio.doctor.probes.training import RANDOM, trained, without_dropout

ID = "train-eval-differ"
TITLE = "training and evaluation differ in dropout and kept statistics alone"
NEEDS = ("rows",)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """One run in each mode."""
    training = trained(subject, facts, batch_statistics=False)
    first = training.run()
    size, place = largest(compared(facts, subject.base, first))
    if size <= subject.tolerance:
        return
    for seed in range(2, 10):  # what is drawn, as an expert, may be the same more often than not
        if largest(compared(facts, first, training.run(seed=seed)))[0] > subject.tolerance:
            raise Skip(RANDOM)
    with without_dropout():
        calls = traced(subject, {}, training.model)
    yield Finding(
        ID,
        "error",
        "results in training differ from those in evaluation, dropout apart",
        "The model was run in training mode with every dropout off, and with the statistics that batch norms keep, and "
        "its results differ from those in evaluation. So something else asks for the mode: a mask that only one of the "
        "two applies, a scale, a layer that is left out. The model that is evaluated is not the one that was trained.",
        {"moved most": place, "by (relative)": size},
        "Let nothing but dropout look at `self.training`: build the mask in both modes, outside of any "
        "`if self.training:`.",
        first_apart(traced_example(subject), calls, subject.tolerance),
    )
