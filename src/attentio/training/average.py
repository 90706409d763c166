"""A moving average of the weights: often better than the weights themselves, at almost no cost."""

from collections.abc import Iterator
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
