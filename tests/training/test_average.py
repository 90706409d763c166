from contextlib import suppress

import torch
from torch import nn

from attentio.training.average import WeightAverage


def test_the_average_follows_its_recurrence(seed: int) -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.6)
    expected = {name: parameter.detach().double() for name, parameter in model.named_parameters()}
    for step in range(1, 23):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter))
        average.update(model, step)
        decay = min(0.6, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach().double()
        for name, weights in average.weights.items():
            torch.testing.assert_close(weights.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_inside_applied_the_model_has_the_average_and_afterwards_its_own(seed: int) -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.0)
    with torch.no_grad():
        model.weight.zero_()
    own = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with suppress(KeyError), average.applied(model):
        assert model.weight.all()
        raise KeyError
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, own[name])
    average.update(model, 1)
    assert not average.weights["weight"].any(), "the average looks at the model's own weights again"


def test_the_average_is_apart_from_the_model(seed: int) -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.9)
    before = average.weights["weight"].clone()
    with torch.no_grad():
        model.weight.zero_()
    assert torch.equal(average.weights["weight"], before)
