"""Averages of the weights: often better than the weights themselves, at almost no cost."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """average = d * average + (1 - d) * weights after every update, with d = min(decay, (1 + step) / (10 + step)).

    The growing d lets the average forget the first, random weights (as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in model.named_parameters()
        }

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after update number `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [parameter.detach() for parameter in model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), current, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        own = {name: parameter.data for name, parameter in model.named_parameters()}
        for name, parameter in model.named_parameters():
            parameter.data = self.weights[name]
        try:
            yield
        finally:
            for name, parameter in model.named_parameters():
                parameter.data = own[name]


def mean_of(checkpoints: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of some checkpoints of one model, one held at a time; summed in float64.

    Reference: Vaswani et al. 2017, "Attention Is All You Need", section 6.1.
    """
    sums: dict[str, Tensor] = {}
    count = 0
    for weights in checkpoints:
        sums = {name: sums.get(name, 0) + tensor.double() for name, tensor in weights.items()}
        count += 1
    return {name: (tensor / count).float() for name, tensor in sums.items()}
