"""An output depends on later inputs although the model is meant to be causal.

In training it then sees what it is to predict: the loss falls wonderfully, and generation is poor. Seen by changing one
input position and looking at the outputs before it, and by the gradient of an output on the embeddings after it.

Which models are meant to be causal? `causal=` says it, a loss that asks for the next token, or the masks of all their
attentions, beside which a convolution or a mean looks ahead. Both directions are meant where no attention has a mask
that tells queries apart, and where later inputs reach as far as earlier ones do: a note says so. Else: if some but not
nearly all of the later inputs matter, it is a leak.
"""

from collections.abc import Iterator
from contextlib import suppress

from attentio.doctor.diagnosis import Concluded, Established, Finding, Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.causal_masks import sees_all, works_causally
from attentio.doctor.probes.causality import Leak, leaks
from attentio.doctor.probes.loss import wanted_tokens

ID = "future-leak"
TITLE = "outputs of a causal model do not depend on later inputs"
NEEDS = ("positions",)
EXPLAINS = ("length-dependence", "cached-differs", "window-off-by-one", "position-statistics", "batch-statistics")
ESTABLISHES = ("sees_future",)


def check(subject: Subject, facts: Facts) -> Iterator[Concluded | Established | Finding]:
    """Look at models with one sequence; with two, the decoder's is looked at by teacher-forcing-leak."""
    if any(sequence.target for sequence in facts.sequences):
        raise Skip("the decoder's input is looked at by teacher-forcing-leak; an encoder may see everything")
    if facts.told.causal is False:
        raise Skip("causal=False")
    expected, why = _expected(subject, facts)
    found = [leak for one in facts.sequences for leak in leaks(subject, facts, one, expected)]
    if found and expected is None and (masks := _masks(subject, facts)):
        expected, why = True, f"{masks} (if outputs may look ahead beside it, say causal=False)"
        found = [leak for one in facts.sequences for leak in leaks(subject, facts, one, expected)]
    errors = [leak for leak in found if not leak.intended]
    if errors:
        yield Concluded("causal", f"expected: {why}")
        yield from (Established("sees_future", leak.output.sequence) for leak in errors if leak.output.sequence)
        yield _finding(errors[0], why)
    elif found:
        yield Concluded("causal", "no: outputs depend on later inputs too; causal=True if that is not meant")
        yield Finding(
            ID,
            "note",
            "outputs depend on later inputs, as in a bidirectional model",
            "Later inputs reach the outputs as far as earlier ones do, so both directions seem to be meant, as in an "
            "encoder or a masked language model. If this model predicts what comes next, it sees the answer.",
            found[0].evidence,
            "If it is to be causal, say so and look again: `attentio.diagnose(model, inputs, causal=True)`.",
        )
    elif facts.told.causal is None:
        yield Concluded("causal", "yes: no output depends on later inputs")


def _expected(subject: Subject, facts: Facts) -> tuple[bool | None, str]:
    """Whether the model must be causal (None: behaviour will tell), and why."""
    if facts.told.causal:
        return True, "it was said to be"
    with suppress(Skip):
        if facts.has("loss") and any(wanted_tokens(subject, facts, one, shift=1)[0] > 0.9 for one in facts.sequences):
            return True, "its loss asks for the next token"
    if getattr(getattr(subject.model, "config", None), "is_decoder", False):
        return True, "config.is_decoder"
    if all(sees_all(subject, facts, one) for one in facts.sequences):
        return False, ""
    return None, "most of its outputs do not depend on later inputs (if some looking ahead is meant, say causal=False)"


def _masks(subject: Subject, facts: Facts) -> str:
    """What masks say: beside attention that is causal, nothing else should look ahead."""
    return next((said for one in facts.sequences if (said := works_causally(subject, facts, one))), "")


def _finding(leak: Leak, why: str) -> Finding:
    return Finding(
        ID,
        "error",
        "an output depends on later inputs",
        "One position of the input was changed, and outputs before it moved. A causal model that is trained so sees "
        "part of what it is asked to predict: the training loss is too good, and in generation, where the future is "
        f"not there, it fails. This model is taken to be causal: {why}. Usual reasons: a mask one diagonal off, a "
        "mask combined with `or` instead of `and`, True and False exchanged, a convolution with padding on both "
        "sides, or a norm or mean over positions.",
        leak.evidence,
        "Mask every pair with key > query: `F.scaled_dot_product_attention(q, k, v, is_causal=True)`, or "
        "`torch.ones(n, n, dtype=torch.bool).triu(diagonal=1)` as a mask in which True = ignore (diagonal=1, not 2); "
        "in attentio `mask=at.causal()`.",
        leak.where,
    )
