"""How far a model's probabilities are from its teachers'."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.layers.product import product
from attentio.models.protocols import Likelihood, Trainable
from attentio.training.linear_loss import linear_loss


class Teaching:
    """Teachers, and the features that they have of a batch.

    teachers: of the same vocabulary as the model; no parameters of the loss, so that nothing trains or saves them.
    """

    def __init__(self, teachers: Sequence[nn.Module], *, weight: float) -> None:
        self.teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        self.weight = weight

    def divergence(
        self,
        model: Trainable,
        features: Float[Tensor, "positions features"],
        asked: Tensor,
        inputs: Sequence[Tensor],
    ) -> Float[Tensor, ""]:
        """Sum over the positions that are asked for of KL(teacher || model), in nats.

        log P = 1/M sum over the M teachers of log P_m - log Z, as several runs answer together.
        """
        taught = self._answers(asked, inputs)

        def of_logits(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            theirs, ours = taught(rows), logits.log_softmax(-1)
            wanted = theirs.exp()
            return (wanted * (theirs - ours)).sum(), ours.exp_().sub_(wanted)

        out = model.output
        with torch.autocast(features.device.type, enabled=False):
            return linear_loss(features, out.weight, out.bias, of_logits)

    def divergence_of(
        self, log_probs: Float[Tensor, "positions vocab"], asked: Tensor, inputs: Sequence[Tensor]
    ) -> Float[Tensor, ""]:
        """The same of a model that gives log-probabilities itself."""
        theirs = self._answers(asked, inputs)(slice(None))
        return (theirs.exp() * (theirs - log_probs)).sum()

    def _answers(self, asked: Tensor, inputs: Sequence[Tensor]) -> Callable[[slice], Tensor]:
        """log P of some of the positions that are asked for."""
        with torch.no_grad():
            each = [_answer(teacher, asked, inputs) for teacher in self.teachers]
        return lambda rows: torch.stack([answer(rows) for answer in each]).mean(0).log_softmax(-1)


def _answer(teacher: nn.Module, asked: Tensor, inputs: Sequence[Tensor]) -> Callable[[slice], Tensor]:
    if isinstance(teacher, Likelihood):
        log_probs = teacher(*inputs)[asked]
        return lambda rows: log_probs[rows]
    model = cast(Trainable, teacher)
    features, out = model.features(*inputs)[asked], model.output

    def answer(rows: slice) -> Tensor:
        return product(features[rows].to(out.weight.dtype), out.weight, out.bias).log_softmax(-1)

    return answer
