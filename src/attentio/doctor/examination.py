"""`diagnose`: every check on one model."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attentio.doctor.catalogue import CHECKS, Check
from attentio.doctor.diagnosis import Concluded, Diagnosis, Established, Finding, Skip
from attentio.doctor.patient.called import as_module
from attentio.doctor.patient.facts import Facts, Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.precision import where_float64_is
from attentio.doctor.patient.subject import Subject


def diagnose(
    model: nn.Module | Callable[..., Any],
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
        model: any module whose outputs are tensors, or tuples, dicts or dataclasses-like mappings of tensors; a
            compiled one is examined as it was written. A function too: modules that it holds are examined with it.
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
            output [batch, features] there and the state for the next; the first state is None. None: by `start` and
            `step` (attentio's StepDecoder) where the model has them, else by handing back what it returns beside its
            outputs, under the name that it has there, under usual ones (`past_key_values`, `cache`, `state`, ..) and
            under the other parameters of `forward`.

    Returns:
        The diagnosis: print it, ask `.healthy`, or take `.json()`.

    Raises:
        ValueError: `model` cannot be called, an option is of another kind, `padding` is none of the inputs, or the
            model does not run on the example.

    >>> class Model(torch.nn.Module):
    ...     def forward(self, x, lengths):
    ...         return at.attend(x, x, x, mask=at.padding(lengths)).context
    >>> inputs = {"x": torch.randn(2, 8, 4), "lengths": torch.tensor([8, 5])}
    >>> at.diagnose(Model(), inputs, causal=True, padding="lengths", window=(8, 8))
    Diagnosis(NOT healthy: ...future-leak...)

    A model that can go step by step, and its loss:

    >>> def step(gru, x, position, state):
    ...     output, state = gru(x[:, position : position + 1], state)
    ...     return output[:, 0], state
    >>> def loss(gru, x):
    ...     return gru(x)[0].square().mean()
    >>> at.diagnose(torch.nn.GRU(4, 3, batch_first=True), torch.randn(2, 8, 4), step=step, loss=loss).healthy
    True
    """
    told = Told(causal=causal, padding=padding, window=window, loss=loss, step=step)
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller does, gradients are looked at
        subject = Subject(*where_float64_is(as_module(model), example_inputs))
        facts = learn(subject, told)
        diagnosis = Diagnosis(concluded=dict(facts.concluded))
        established: dict[str, frozenset[str]] = defaultdict(frozenset)
        for check in CHECKS:
            if check.ID not in diagnosis.skipped:
                for one in _make(check, subject, facts, established, diagnosis):
                    established[one.fact] |= {one.sequence}
    if not facts.finite:
        diagnosis.findings.append(_blind(subject))
    diagnosis.sort()
    return diagnosis


def _make(
    check: Check, subject: Subject, facts: Facts, established: Mapping[str, frozenset[str]], diagnosis: Diagnosis
) -> list[Established]:
    """Write what a check finds into the diagnosis; what it establishes is returned."""
    began = time.perf_counter()
    found: list[Finding | Concluded | Established] = []
    try:
        facts.require(*check.NEEDS)
        found.extend(check.check(subject, facts, **{name: established[name] for name in getattr(check, "USES", ())}))
    except Skip as reason:
        diagnosis.skipped[check.ID] = str(reason)
    except Exception as error:  # a fault of the check must not cost what the others find
        message = str(error).strip().split("\n")[0][:200]
        diagnosis.skipped[check.ID] = (
            f"the check itself failed, which says nothing of the model: {type(error).__name__}: {message}"
        )
    findings = [one for one in found if isinstance(one, Finding)]
    diagnosis.findings += findings
    diagnosis.concluded |= {one.about: one.what for one in found if isinstance(one, Concluded)}
    if findings or check.ID not in diagnosis.skipped:
        diagnosis.checked[check.ID] = round(time.perf_counter() - began, 3)
    if any(finding.severity == "error" for finding in findings):
        for consequence in getattr(check, "EXPLAINS", ()):
            diagnosis.skipped.setdefault(consequence, f"what it would find follows from {check.ID}")
    return [one for one in found if isinstance(one, Established)]


def _blind(subject: Subject) -> Finding:
    if not subject.base:
        return Finding(
            "no-finite-output",
            "error",
            "the model returns no floating-point numbers",
            "In evaluation, on the example, it returns no floating-point tensor, as where it returns `argmax` of its "
            "logits. Nothing small can be seen to move in whole numbers, and no check by behaviour was made.",
            {"floating-point outputs": 0},
            "Examine a model that returns its logits or hidden states.",
        )
    return Finding(
        "no-finite-output",
        "error",
        "no output has a finite number",
        "On the example every number that the model returns is NaN or infinite, or it returns no floating-point "
        "tensor at all. Nothing can be seen to move then, and no check by behaviour was made.",
        {"outputs": {path or "output": list(tensor.shape) for path, tensor in subject.base.items()}},
        "Give an example on which the model works; `torch.autograd.set_detect_anomaly(True)` finds where NaN begins.",
    )
