"""`diagnose`: every check on one model."""

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from attentio.inspection.doctor.checks import CHECKS, Check
from attentio.inspection.doctor.diagnosis import Diagnosis, Finding, Skip
from attentio.inspection.doctor.patient import Patient


def diagnose(
    model: nn.Module,
    example_inputs: Any,
    *,
    causal: bool | None = None,
    padding: str | int | None = None,
    window: tuple[int, int] | None = None,
    loss: Callable[[nn.Module, Any], Tensor] | None = None,
    step: Callable[[nn.Module, Any, int, Any], tuple[Tensor, Any]] | None = None,
) -> Diagnosis:
    """Find the silent mistakes of a model by what it does: run it on changed inputs, and see which outputs move.

    The model itself is not touched: a copy is examined, in evaluation mode and in float64 where that works, so that
    rounding does not hide small leaks. Its training mode and the random state stay what they are.

    Args:
        model: any module whose outputs are tensors, or tuples, dicts or dataclasses-like mappings of tensors.
        example_inputs: what the model is called with: a tensor, a tuple of positional or a dict of keyword arguments.
            Two rows or more, eight positions or more, and at least one row with padding show the most.
        causal: whether an output may depend on its own and earlier inputs only. None: concluded from behaviour, and
            said in `concluded`. With an encoder and a decoder, it is about the decoder's input.
        padding: which argument says what padding is: its name (dict) or place (tuple). None: found by name
            (attention_mask, src_key_padding_mask, lengths, ..).
        window: (before, after): how many tokens on each side one attention may see, the token itself not counted.
            None: `model.config.sliding_window` or `.attention_window`, if there is one.
        loss: `loss(model, inputs)` returns the scalar that is minimised; `inputs` come as `example_inputs` was given.
            None: the output `loss` of the model, if `labels` are among the inputs.
        step: cached decoding, `step(model, inputs, position, state)` feeds the input at one position and returns the
            output [batch, features] there and the state for the next; the first state is None. None: tried with
            `past_key_values` and with `start` and `step` (attentio's StepDecoder) where the model has them.

    Returns:
        The diagnosis: print it, ask `.healthy`, or take `.json()`.

    Raises:
        ValueError: `padding` is none of the inputs, or the model does not run on the example.
    """
    patient = Patient(model, example_inputs, causal=causal, padding=padding, window=window, loss=loss, step=step)
    diagnosis = Diagnosis()
    for check in CHECKS:
        _make(check, patient, diagnosis)
    if not any(bool(tensor.isfinite().any()) for tensor in patient.base.values()):
        diagnosis.findings.append(_blind(patient))
    diagnosis.concluded = patient.concluded
    diagnosis.sort()
    return diagnosis


def _make(check: Check, patient: Patient, diagnosis: Diagnosis) -> None:
    if check.ID in diagnosis.skipped:
        return
    began = time.perf_counter()
    found: list[Finding] = []
    try:
        patient.require(*check.NEEDS)
        found.extend(check.check(patient))
    except Skip as reason:
        diagnosis.skipped[check.ID] = str(reason)
    except Exception as error:  # a fault of the check must not cost what the others find
        message = str(error).strip().split("\n")[0][:200]
        diagnosis.skipped[check.ID] = f"the check itself failed: {type(error).__name__}: {message}"
    if found or check.ID not in diagnosis.skipped:
        diagnosis.checked[check.ID] = round(time.perf_counter() - began, 3)
    diagnosis.findings += found
    if any(finding.severity == "error" for finding in found):
        for consequence in getattr(check, "EXPLAINS", ()):
            diagnosis.skipped.setdefault(consequence, f"what it would find follows from {check.ID}")


def _blind(patient: Patient) -> Finding:
    return Finding(
        "no-finite-output",
        "error",
        "no output has a finite number",
        "On the example every number that the model returns is NaN or infinite, or it returns no floating-point "
        "tensor at all. Nothing can be seen to move then, and no check by behaviour was made.",
        {"outputs": {path or "output": list(tensor.shape) for path, tensor in patient.base.items()}},
        "Give an example on which the model works; `torch.autograd.set_detect_anomaly(True)` finds where NaN begins.",
    )
