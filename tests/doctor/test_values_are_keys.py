"""values-are-keys: the values are the keys."""

from collections.abc import Callable

import pytest
import torch
from examined import assert_only_found, diagnosed, found
from healthy_styles import HEALTHY
from position_mistakes import VALUES_ARE_KEYS
from torch import Tensor, nn

import attentio as at


@pytest.mark.parametrize("mistake", VALUES_ARE_KEYS.values(), ids=VALUES_ARE_KEYS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "values-are-keys")


def test_memory_of_a_recurrent_decoder_is_both(seed: int) -> None:
    assert not found(diagnosed(HEALTHY["luong"]()), "values-are-keys")


def test_a_single_head_whose_keys_a_layer_made_is_looked_at(seed: int) -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.places = nn.Linear(6, 6), nn.Linear(6, 6), nn.Parameter(torch.randn(7, 6))

        def forward(self, x: Tensor) -> Tensor:
            key = self.key(x + self.places)
            return (self.query(x + self.places) @ key.mT / 6**0.5).softmax(-1) @ key

    assert found(at.diagnose(Single(), torch.randn(3, 7, 6)), "values-are-keys")
