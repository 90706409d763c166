"""overwrites-inputs: the model writes into what it was called with."""

from collections.abc import Callable

import pytest
import torch
from examined import assert_only_error, diagnosed, found
from mode_mistakes import OVERWRITES_INPUTS
from torch import Tensor, nn
from torch.nn import functional as F

import attentio as at


@pytest.mark.parametrize("mistake", OVERWRITES_INPUTS.values(), ids=OVERWRITES_INPUTS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "overwrites-inputs")


def test_a_cache_may_be_written_into(seed: int) -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key, self.value = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor, cache: Tensor) -> Tensor:
            cache[:, 0] = self.key(x)
            return x + F.scaled_dot_product_attention(x, cache[:, 0], self.value(x))

    inputs = {"x": torch.randn(3, 7, 6), "cache": torch.zeros(3, 1, 7, 6)}
    assert [one.severity for one in found(at.diagnose(Caching(), inputs), "overwrites-inputs")] == ["note"]


def test_what_was_overwritten_is_named(seed: int) -> None:
    (finding,) = found(diagnosed(OVERWRITES_INPUTS["mask"]()), "overwrites-inputs")
    assert finding.evidence["numbers of attention_mask that a call in evaluation changed"] == 6
