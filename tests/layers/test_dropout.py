"""Dropout drops as often as it says, scales what it keeps, and leaves evaluation alone."""

import math

import pytest
import torch

from attentio.layers.dropout import Dropout

NUMBERS = 1_000_003


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_the_share_dropped_is_p_and_the_mean_is_kept(seed: int, p: float) -> None:
    outputs = Dropout(p)(torch.ones(NUMBERS))
    dropped = float((outputs == 0).double().mean())
    assert abs(dropped - p) < 5 * math.sqrt(p * (1 - p) / NUMBERS) + 2**-17
    assert sorted(outputs.unique().tolist()) == [0.0, pytest.approx(1 / (1 - p), rel=1e-3)]


def test_every_place_of_four_neighbours_is_dropped_equally_often(seed: int) -> None:
    """Four decisions come from one random number; a bound on that number would favour one of them."""
    dropped = (Dropout(0.25)(torch.ones(4 * 250_000)) == 0).view(-1, 4).double().mean(0)
    assert float((dropped - 0.25).abs().max()) < 5 * math.sqrt(0.25 * 0.75 / 250_000) + 2**-17


def test_neighbours_are_dropped_independently(seed: int) -> None:
    dropped = (Dropout(0.5)(torch.ones(NUMBERS)) == 0).double() - 0.5
    for distance in (1, 2, 3, 4):
        together = float((dropped[:-distance] * dropped[distance:]).mean())
        assert abs(together) < 5 * 0.25 / math.sqrt(NUMBERS)


def test_the_gradient_goes_where_the_value_went(seed: int) -> None:
    inputs = torch.randn(7, 11, 13, dtype=torch.float64, requires_grad=True)
    outputs = Dropout(0.4)(inputs)
    outputs.sum().backward()
    assert torch.equal(inputs.grad == 0, outputs == 0)
    assert torch.allclose(inputs.grad * inputs, outputs)


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero(seed: int) -> None:
    inputs = torch.randn(5, 7)
    assert torch.equal(Dropout(0.5).eval()(inputs), inputs)
    assert torch.equal(Dropout(0.0)(inputs), inputs)


def test_the_same_seed_drops_the_same(seed: int) -> None:
    inputs = torch.randn(17, 19)
    first = Dropout(0.5)(inputs)
    torch.manual_seed(seed)
    again_inputs = torch.randn(17, 19)
    assert torch.equal(Dropout(0.5)(again_inputs), first)


def test_a_rate_that_is_no_probability_is_refused() -> None:
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match="p must be a probability"):
            Dropout(rate)


def test_nearly_all_may_be_dropped(seed: int) -> None:
    outputs = Dropout(0.999999)(torch.ones(100))
    assert set(outputs.tolist()) <= {0.0, 2.0**16}
