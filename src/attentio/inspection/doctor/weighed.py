"""The loss on the example or changed inputs, and what it asks of the logits: its gradient on them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attentio.inspection.doctor.diagnosis import Skip
from attentio.inspection.doctor.inputs import SequenceInput
from attentio.inspection.doctor.outputs import flatten
from attentio.inspection.doctor.patient import Patient


class Weighed(NamedTuple):
    """loss: the scalar. gradient: of it on the logits, [batch, positions, vocab]; None where there is none.

    At position t it is positive but for the token wanted there; it is 0 where the loss does not count the position.
    """

    loss: float
    gradient: Tensor | None


def weighed(patient: Patient, values: dict[str, Any] | None = None, *, what: str = "") -> Weighed:
    """Run the model and its loss.

    Raises:
        Skip: one of the two fails, or there is no scalar loss.
    """
    try:
        return _weighed(patient, values or {})
    except Skip:
        raise
    except Exception as error:
        raise Skip(f"the loss raised {type(error).__name__} {what}: {str(error).strip()[:200]}") from error


def asked_for(patient: Patient, sequence: SequenceInput, *, shift: int) -> tuple[float, int]:
    """At which share of the positions counted the loss wants the token that `sequence` has `shift` positions later, and
    how many positions that are; (0.0, 0) where it cannot be told."""
    gradient = weighed(patient).gradient
    if sequence.kind != "tokens" or gradient is None:
        return 0.0, 0
    value, real = patient.inputs.values[sequence.name], patient.real(sequence)
    read = (value.T if sequence.batch == 1 else value).cpu()[:, shift:]
    length = min(gradient.shape[1], read.shape[1])
    if len(gradient) != len(read) or length < 2:
        return 0.0, 0
    gradient, read = gradient[:, :length], read[:, :length]
    counts = (gradient.abs().amax(dim=2) > 0) & real[:, shift:][:, :length]
    if not counts.any() or len(read[counts].unique()) < 2:
        return 0.0, 0
    return float((read == gradient.argmin(dim=2))[counts].double().mean()), int(counts.sum())


def _weighed(patient: Patient, values: dict[str, Any]) -> Weighed:
    if patient.loss is None:
        outputs = patient.call(values, grad=True)
        loss = _returned_loss(outputs)
        logits = [tensor for _, tensor in flatten(outputs)]
    else:
        logits = []
        hook = patient.model.register_forward_hook(lambda *called: _keep(logits, called[2]))
        try:
            loss = patient.within(lambda: _call_loss(patient, values), grad=True)
        finally:
            hook.remove()
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise Skip("the loss is not a scalar tensor")
    return Weighed(float(loss.detach()), _gradient(patient, loss, logits))


def _returned_loss(outputs: Any) -> Any:
    """The output `loss`, or of a tuple the first scalar."""
    if isinstance(outputs, Mapping):
        return outputs["loss"]
    several = outputs if isinstance(outputs, tuple) else ()
    return next((one for one in several if isinstance(one, Tensor) and one.numel() == 1), None)


def _keep(logits: list[Tensor], output: Any) -> None:
    logits.extend(tensor for _, tensor in flatten(output))


def _call_loss(patient: Patient, values: dict[str, Any]) -> Tensor:
    assert patient.loss is not None
    given = patient.inputs.copied({**patient.inputs.values, **values}, exact=patient.exact)
    return patient.loss(patient.model, patient.inputs.restored(given))


def _gradient(patient: Patient, loss: Tensor, tensors: list[Tensor]) -> Tensor | None:
    """On the first [batch, positions, vocab] that the loss depends on."""
    if not loss.requires_grad:
        return None
    for tensor in tensors:
        if tensor.ndim != 3 or not tensor.requires_grad:
            continue
        (gradient,) = torch.autograd.grad(loss, tensor, retain_graph=True, allow_unused=True)
        if gradient is not None:
            batch = patient.sequences[0].batch if patient.sequences else 0
            return gradient.transpose(0, 1).cpu() if batch == 1 else gradient.cpu()
    return None
