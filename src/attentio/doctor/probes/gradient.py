"""Dependence by gradient: d output[t] / d embedding[s], which also sees what no chosen change happens to show."""

from typing import Any

import torch
from torch import Tensor, nn

from attentio.doctor.diagnosis import Skip
from attentio.doctor.patient.edits import changed
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.inputs import SequenceInput
from attentio.doctor.patient.outputs import Output, flatten
from attentio.doctor.patient.subject import Subject


def future_gradient(
    subject: Subject, facts: Facts, sequence: SequenceInput, output: Output, position: int
) -> tuple[float, int]:
    """The largest gradient of `output` at `position` on a later input, relative to that on all inputs; and which input.

    Raises:
        Skip: the output has no gradient on the input.
    """
    try:
        leaf, outputs = _run(subject, facts, sequence)
        rows = output.batch_first(outputs[output.path])[facts.real(sequence)[:, position], position]
        weights = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0)).to(rows)
        (gradient,) = torch.autograd.grad((rows * weights).sum(), leaf, allow_unused=True)
    except (RuntimeError, KeyError, IndexError) as error:
        raise Skip(f"no gradient: {error}") from error
    if gradient is None or not gradient.isfinite().all():
        raise Skip("no gradient on the inputs")
    sizes = sequence.batch_first(gradient).flatten(2).norm(dim=2).cpu()
    sizes = sizes.masked_fill(~facts.real(sequence), 0.0).amax(dim=0)
    later = sizes.clone()
    later[: position + 1] = 0
    return float(later.max() / sizes.max().clamp(min=1e-300)), int(later.argmax())


def _run(subject: Subject, facts: Facts, sequence: SequenceInput) -> tuple[Tensor, dict[str, Tensor]]:
    """What the model makes of the sequence, and the tensor to differentiate by: the features, or their embeddings."""
    value = facts.values[sequence.name]
    if sequence.kind == "features":
        leaf = (value.double() if subject.exact else value).clone().requires_grad_()
        return leaf, dict(flatten(subject.call({sequence.name: leaf}, grad=True)))
    leaves: list[Tensor] = []

    def embed(_module: nn.Module, given: tuple[Any, ...], result: Any) -> Tensor | None:
        reads = given and isinstance(given[0], Tensor) and torch.equal(given[0], value)
        if leaves or not reads or not isinstance(result, Tensor) or result.shape[:2] != value.shape:
            return None
        leaves.append(result.detach().requires_grad_())
        return leaves[0]

    # Another sequence with the same tokens would be taken for this one.
    others = [one for one in facts.sequences if one.name != sequence.name and one.kind == "tokens"]
    twins = [one for one in others if torch.equal(facts.values[one.name], value)]
    values = {name: other for one in twins for name, other in changed(facts, one, facts.real(one)).items()}
    hooks = [module.register_forward_hook(embed) for module in subject.model.modules()]
    try:
        outputs = dict(flatten(subject.call(values, grad=True)))
    finally:
        for hook in hooks:
            hook.remove()
    if not leaves:
        raise Skip("no module embeds the tokens")
    return leaves[0], outputs
