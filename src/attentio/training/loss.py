"""What training minimises: what the labels lose, how far two passes are apart, and what teachers add."""

from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attentio.data.batches import IGNORE_INDEX
from attentio.models.protocols import Likelihood, Trainable
from attentio.training.agreement import agreeing_cross_entropy, distance
from attentio.training.cross_entropy import linear_cross_entropy
from attentio.training.distillation import Teaching


class Objective(nn.Module):
    """What training minimises, as one module: called through a wrapper (mixed precision, several devices) it is all
    inside of it.

    label_smoothing, never: of `linear_cross_entropy`. Positions whose label is IGNORE_INDEX do not count.
    r_drop: of `agreeing_cross_entropy`, which takes two passes through the model; 0 for one.
    teaching: (1 - w) * cross-entropy + w * divergence from the teachers, with its weight w.
    A model that brings its own likelihood is trained without smoothing.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        label_smoothing: float,
        never: int | None,
        r_drop: float = 0.0,
        teaching: Teaching | None = None,
    ) -> None:
        super().__init__()
        self.model, self.label_smoothing, self.never = model, label_smoothing, never
        self.r_drop, self.teaching = r_drop, teaching

    def forward(self, labels: Int[Tensor, "batch positions"], *inputs: Tensor) -> Float[Tensor, ""]:
        """The loss summed over the labels; inputs are those of the model's `features`."""
        asked = labels != IGNORE_INDEX
        read = tuple(torch.cat([each, each]) for each in inputs) if self.r_drop else inputs
        if isinstance(self.model, Likelihood):
            return self._of_likelihood(self.model, labels, asked, inputs, read)
        model = cast(Trainable, self.model)
        passes = [features[asked] for features in model.features(*read).split(len(labels))]
        rest = model.output.weight, model.output.bias, labels[asked]
        how: dict[str, Any] = {"label_smoothing": self.label_smoothing, "never": self.never}
        if self.r_drop:
            loss = agreeing_cross_entropy(passes[0], passes[1], *rest, r_drop=self.r_drop, **how)
        else:
            loss = linear_cross_entropy(passes[0], *rest, **how)
        if self.teaching is None:
            return loss
        weight = self.teaching.weight
        return (1 - weight) * loss + weight * self.teaching.divergence(model, passes[0], asked, inputs)

    def _of_likelihood(
        self,
        model: Likelihood,
        labels: Int[Tensor, "batch positions"],
        asked: Bool[Tensor, "batch positions"],
        inputs: tuple[Tensor, ...],
        read: tuple[Tensor, ...],
    ) -> Float[Tensor, ""]:
        """Every token's log-probability is made only where more is learnt than the labels."""
        if not self.r_drop and self.teaching is None:
            return model.loss(labels, asked, *inputs)
        passes = [log_probs[asked] for log_probs in self.model(*read).split(len(labels))]
        loss = -torch.cat(passes).gather(1, labels[asked].repeat(len(passes)).unsqueeze(1)).sum() / len(passes)
        if self.r_drop:
            loss = loss + self.r_drop / 4 * distance(*passes).sum()
        if self.teaching is None:
            return loss
        weight = self.teaching.weight
        return (1 - weight) * loss + weight * self.teaching.divergence_of(passes[0], asked, inputs)
