"""An output depends on later inputs although the model is meant to be causal.

In training it then sees what it is to predict: the loss falls wonderfully, and generation is poor. Seen by changing one
input position and looking at the outputs before it, and by the gradient of an output on the embeddings after it.

Which models are meant to be causal? `causal=` says it, or a loss that asks for the next token. Else: if some but not
nearly all of the later inputs matter, it is a leak; if they reach as far as earlier ones do, both directions are meant,
and a note says so.
"""

from collections.abc import Iterator
from contextlib import suppress

from attentio.inspection.doctor.causality import Leak, leaks
from attentio.inspection.doctor.diagnosis import Finding, Skip
from attentio.inspection.doctor.patient import Patient
from attentio.inspection.doctor.weighed import asked_for

ID = "future-leak"
TITLE = "outputs of a causal model do not depend on later inputs"
NEEDS = ("positions",)
EXPLAINS = ("cached-differs", "window-off-by-one")


def check(patient: Patient) -> Iterator[Finding]:
    """Look at models with one sequence; with two, the decoder's is looked at by teacher-forcing-leak."""
    if any(sequence.target for sequence in patient.sequences):
        raise Skip("the decoder's input is looked at by teacher-forcing-leak; an encoder may see everything")
    if patient.causal is False:
        raise Skip("causal=False")
    expected, why = _expected(patient)
    found = [leak for one in patient.sequences for leak in leaks(patient, one, expected)]
    errors = [leak for leak in found if not leak.intended]
    if errors:
        patient.concluded["causal"] = f"expected: {why}"
        patient.sees_future |= {leak.output.sequence for leak in errors if leak.output.sequence}
        yield _finding(errors[0], why)
    elif found:
        patient.concluded["causal"] = "no: every output depends on later inputs too; causal=True if that is not meant"
        yield Finding(
            ID,
            "note",
            "outputs depend on later inputs, as in a bidirectional model",
            "Later inputs reach the outputs as far as earlier ones do, so both directions seem to be meant, as in an "
            "encoder or a masked language model. If this model predicts what comes next, it sees the answer.",
            found[0].evidence,
            "If it is to be causal, say so and look again: `attentio.diagnose(model, inputs, causal=True)`.",
        )
    elif patient.causal is None:
        patient.concluded["causal"] = "yes: no output depends on later inputs"


def _expected(patient: Patient) -> tuple[bool | None, str]:
    """Whether the model must be causal (None: behaviour will tell), and why."""
    if patient.causal:
        return True, "it was said to be"
    with suppress(Skip):
        patient.require("loss")
        if any(asked_for(patient, one, shift=1)[0] > 0.9 for one in patient.sequences):
            return True, "its loss asks for the next token"
    if getattr(getattr(patient.original, "config", None), "is_decoder", False):
        return True, "config.is_decoder"
    return None, "most of its outputs do not depend on later inputs (if some looking ahead is meant, say causal=False)"


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
