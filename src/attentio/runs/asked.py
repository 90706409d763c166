"""A text and what was said of it, to be asked of a model again: in many copies, with something changed in each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.models.pointer import PointerEncoderDecoder

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model says of a text.

    inputs: what the model is called with, a batch of one.
    rows: the positions at which it says something. said: the ids that it says there.
    suppressed: ids that never stand there.
    each_step: called before each reading; what it raises ends what is asked.
    """

    model: nn.Module
    inputs: Inputs
    rows: Sequence[int]
    said: Sequence[int]
    suppressed: Sequence[int] = ()
    each_step: Callable[[], None] = lambda: None

    def copies(self, count: int) -> Inputs:
        """The inputs, so many times."""
        return tuple(each.expand(count, *each.shape[1:]) for each in self.inputs)

    def log_probs(self, inputs: Inputs) -> Float[Tensor, "batch said"]:
        """log p (natural) of each token said, given those before it."""
        labels = torch.tensor([self.said], device=inputs[0].device).expand(len(inputs[0]), -1)
        if isinstance(self.model, PointerEncoderDecoder):  # whose distribution has no gradient where it is 0
            self.each_step()
            return self.model.log_probs(labels, torch.ones_like(labels).bool(), *inputs)
        return self.distribution(inputs).gather(2, labels[..., None])[..., 0]

    def distribution(self, inputs: Inputs) -> Float[Tensor, "batch said vocab"]:
        """log p (natural) of all tokens there."""
        self.each_step()
        return self.model(*inputs)[:, list(self.rows)].float().log_softmax(-1)

    def work(self, copies: int) -> int:
        """About how many multiplications so many copies take."""
        positions = sum(each.shape[1] for each in self.inputs if each.ndim == 2)
        return copies * positions * sum(each.numel() for each in self.model.parameters())
