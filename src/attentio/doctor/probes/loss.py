"""The loss on the example or changed inputs, and what it asks of the logits: its gradient on them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import flatten
from attentio.doctor.patient.subject import Subject


class Loss(NamedTuple):
    """value: the scalar. gradient: of it on the logits, [batch, positions, vocab]; None where there is none.

    At position t the gradient is positive but for the token wanted there; it is 0 where the loss does not count the
    position.
    """

    value: float
    gradient: Tensor | None


def loss_of(subject: Subject, facts: Facts, values: dict[str, Any] | None = None, *, what: str = "") -> Loss:
    """Run the model and its loss.

    Raises:
        Skip: one of the two fails, or there is no scalar loss.
    """
    try:
        loss, logits = _run(subject, facts, values)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise Skip("the loss is not a scalar tensor")
        return Loss(float(loss.detach()), _gradient(facts, loss, logits))
    except Skip:
        raise
    except Exception as error:
        raise Skip(f"the loss raised {type(error).__name__} {what}: {str(error).strip()[:200]}") from error


def wanted_tokens(subject: Subject, facts: Facts, sequence: SequenceInput, *, shift: int) -> tuple[float, int]:
    """At which share of the positions counted the loss wants the token that `sequence` has `shift` positions later
    (earlier, if it is negative), and how many positions that are; (0.0, 0) where it cannot be told."""
    if facts.labels_are_read:
        return 0.0, 0
    gradient = loss_of(subject, facts).gradient
    if sequence.kind != "tokens" or gradient is None:
        return 0.0, 0
    value, real = facts.values[sequence.name], facts.real(sequence)
    read, real = sequence.batch_first(value).cpu()[:, max(shift, 0) :], real[:, max(shift, 0) :]
    gradient = gradient[:, max(-shift, 0) :]
    length = min(gradient.shape[1], read.shape[1])
    if len(gradient) != len(read) or length < 2:
        return 0.0, 0
    gradient, read = gradient[:, :length], read[:, :length]
    counts = (gradient.abs().amax(dim=2) > 0) & real[:, :length]
    if not counts.any() or len(read[counts].unique()) < 2:
        return 0.0, 0
    return float((read == gradient.argmin(dim=2))[counts].double().mean()), int(counts.sum())


def _run(subject: Subject, facts: Facts, values: dict[str, Any] | None) -> tuple[Any, list[Tensor]]:
    """The loss, and tensors one of which may be the logits."""
    compute = facts.told.loss
    if compute is None:
        outputs = subject.call(values, grad=True)
        return _returned_loss(outputs), [tensor for _, tensor in flatten(outputs)]
    logits: list[Tensor] = []
    hook = subject.model.register_forward_hook(lambda *called: _keep(logits, called[2]))
    try:
        given = subject.inputs.restored(subject.copied(values))
        return subject.reproducibly(lambda: compute(subject.model, given), grad=True), logits
    finally:
        hook.remove()


def _returned_loss(outputs: Any) -> Any:
    """The output `loss`, or of a tuple the first scalar."""
    if isinstance(outputs, Mapping):
        return outputs["loss"]
    several = outputs if isinstance(outputs, tuple) else ()
    return next((one for one in several if isinstance(one, Tensor) and one.numel() == 1), None)


def _keep(logits: list[Tensor], output: Any) -> None:
    logits.extend(tensor for _, tensor in flatten(output))


def _gradient(facts: Facts, loss: Tensor, tensors: list[Tensor]) -> Tensor | None:
    """On the first [batch, positions, vocab] that the loss depends on."""
    if not loss.requires_grad:
        return None
    for tensor in tensors:
        if tensor.ndim != 3 or not tensor.requires_grad:
            continue
        (gradient,) = torch.autograd.grad(loss, tensor, retain_graph=True, allow_unused=True)
        if gradient is not None:
            return facts.sequences[0].batch_first(gradient).cpu() if facts.sequences else gradient.cpu()
    return None
