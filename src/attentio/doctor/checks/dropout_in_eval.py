"""Two runs of the same model on the same inputs in evaluation mode give two results.

Mostly dropout that does not follow the module's mode: `F.dropout(x, 0.1)` is active always, since its `training` is
True by default, and `dropout_p` of `F.scaled_dot_product_attention` is active always too. Seen by running twice with
other random numbers. Results that differ even with the same ones are the affair of `remembers-calls`.
"""

from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.outputs import difference
from attentio.doctor.patient.subject import Subject

ID = "dropout-in-eval"
TITLE = "the same inputs give the same outputs in evaluation mode"
NEEDS = ()
EXPLAINS = (
    "batch-dependence",
    "padding-leak",
    "positions-ignore-padding",
    "cached-differs",
    "encoder-reads-padding",
    "train-eval-differ",
    "future-leak",
    "length-dependence",
    "teacher-forcing-leak",
    "remembers-calls",
    "unused-inputs",
    "unused-parameters",
    "lost-gradient",
    "order-blind",
    "batch-statistics",
    "backends-disagree",
)


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Run three times: twice with the same random numbers, once with others."""
    same = _largest(subject, facts, seed=0)
    other = _largest(subject, facts, seed=1)
    if same > subject.tolerance:
        raise Skip("two runs differ with the same random numbers too")
    if other > subject.tolerance:
        yield Finding(
            ID,
            "error",
            "random numbers change the results in evaluation mode",
            "`model.eval()` was called, and still two runs on the same inputs differ as soon as the random generator "
            "does. Usually a functional dropout does not know about the mode: the `training` of `F.dropout` is True "
            "by default, and `F.scaled_dot_product_attention` drops whatever `dropout_p` says. Scores and "
            "translations are then noisy, and worse than the model is.",
            {"largest relative difference": other},
            "Tell it the mode: `F.dropout(x, self.p, training=self.training)`; "
            "`dropout_p=self.p if self.training else 0.0`.",
        )


def _largest(subject: Subject, facts: Facts, *, seed: int) -> float:
    """How far the outputs move, those at padding too."""
    after = subject.run(seed=seed)
    moved = [
        difference(output.batch_first(subject.base[output.path]), output.batch_first(after[output.path]))
        for output in facts.outputs
        if output.path in after and after[output.path].shape == subject.base[output.path].shape
    ]
    return max((float(one.max()) for one in moved), default=0.0)
