"""What training minimises: cross-entropy straight from features, and what teachers add."""

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.data.batches import IGNORE_INDEX
from attentio.models.protocols import Likelihood, Trainable
from attentio.training.distillation import Teaching
from attentio.training.linear_loss import linear_loss


class Objective(nn.Module):
    """What training minimises, as one module: called through a wrapper (mixed precision, several devices) it is all
    inside of it.

    label_smoothing, never: of `linear_cross_entropy`. Positions whose label is IGNORE_INDEX do not count.
    teaching: (1 - w) * cross-entropy + w * divergence from the teachers, with its weight w.
    A model that brings its own likelihood is trained without smoothing.
    """

    def __init__(
        self, model: nn.Module, *, label_smoothing: float, never: int | None, teaching: Teaching | None = None
    ) -> None:
        super().__init__()
        self.model, self.label_smoothing, self.never = model, label_smoothing, never
        self.teaching = teaching

    def forward(self, labels: Int[Tensor, "batch positions"], *inputs: Tensor) -> Float[Tensor, ""]:
        """The loss summed over the labels; inputs are those of the model's `features`."""
        asked = labels != IGNORE_INDEX
        if isinstance(self.model, Likelihood):
            return self.model.loss(labels, asked, *inputs)
        model = cast(Trainable, self.model)
        features = model.features(*inputs)
        features = features[asked]
        with torch.autocast(features.device.type, enabled=False):  # a sum of many small numbers
            loss = linear_cross_entropy(
                features,
                model.output.weight,
                model.output.bias,
                labels[asked],
                label_smoothing=self.label_smoothing,
                never=self.never,
            )
        if self.teaching is None:
            return loss
        weight = self.teaching.weight
        return (1 - weight) * loss + weight * self.teaching.divergence(model, features, asked, inputs)


def linear_cross_entropy(
    features: Float[Tensor, "positions features"],
    weight: Float[Tensor, "vocab features"],
    bias: Float[Tensor, "vocab"] | None,
    target: Int[Tensor, "positions"],
    *,
    label_smoothing: float = 0.0,
    never: int | None,
) -> Float[Tensor, ""]:
    """Sum over positions of the smoothed cross-entropy of softmax(features W^T + b), in nats.

        loss_i = -(1 - e) log p(target_i) - e / (V - 1) * sum_{v != never} log p(v)

    Give it real positions only. The smoothing e is spread over the V - 1 tokens that can occur: `never` is the
    padding's id and gets none of it; None, of a vocabulary without padding, spreads it over all V. Gradients as in
    `linear_loss`: a second derivative is an error.

    Reference: label smoothing, Szegedy et al. 2016, section 7, there uniform over all V.
    """
    possible_tokens = weight.shape[0] - (never is not None)
    spread = label_smoothing / possible_tokens
    left_out = slice(0) if never is None else slice(never, never + 1)

    def of_logits(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        wanted = target[rows].unsqueeze(1)
        logits.sub_(logits.amax(1, keepdim=True))
        log_wanted = logits.gather(1, wanted)
        possible = None
        if label_smoothing:
            possible = logits.sum(1, keepdim=True) - logits[:, left_out].sum(1, keepdim=True)
        grad = logits.exp_()
        total = grad.sum(1, keepdim=True)
        loss = (label_smoothing - 1) * (log_wanted - total.log()).sum()
        grad.div_(total)  # softmax, minus the wanted distribution:
        if possible is not None:
            loss -= spread * (possible - possible_tokens * total.log()).sum()
            grad.sub_(spread)
            grad[:, left_out] += spread
        return loss, grad.scatter_add_(1, wanted, grad.new_full(wanted.shape, label_smoothing - 1))

    return linear_loss(features, weight, bias, of_logits)
