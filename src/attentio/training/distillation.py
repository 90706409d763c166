"""How far a model's probabilities are from its teachers'."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.layers.product import product
from attentio.models.protocols import Trainable
from attentio.training.linear_loss import linear_loss


class Teaching:
    """Teachers, and the features that they have of a batch.

    teachers: of the same vocabulary as the model; no parameters of the loss, so that nothing trains or saves them.
    """

    def __init__(self, teachers: Sequence[nn.Module], *, weight: float) -> None:
        self.teachers = [cast(Trainable, teacher.eval().requires_grad_(False)) for teacher in teachers]
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
        with torch.no_grad():
            theirs = [(teacher.output, teacher.features(*inputs)[asked]) for teacher in self.teachers]

        def of_logits(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            each = [product(found[rows].to(out.weight.dtype), out.weight, out.bias) for out, found in theirs]
            taught = torch.stack([one.log_softmax(-1) for one in each]).mean(0).log_softmax(-1)
            ours, wanted = logits.log_softmax(-1), taught.exp()
            return (wanted * (taught - ours)).sum(), ours.exp_().sub_(wanted)

        out = model.output
        with torch.autocast(features.device.type, enabled=False):
            return linear_loss(features, out.weight, out.bias, of_logits)
