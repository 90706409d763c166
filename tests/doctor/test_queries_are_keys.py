"""queries-are-keys: the queries are the keys."""

from collections.abc import Callable

import pytest
import torch
from examined import assert_only_found, found
from position_mistakes import QUERIES_ARE_KEYS
from torch import Tensor, nn

import attentio as at


@pytest.mark.parametrize("mistake", QUERIES_ARE_KEYS.values(), ids=QUERIES_ARE_KEYS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "queries-are-keys")


class Single(nn.Module):
    """One head, written by hand; without layers there is nothing that could have been projected apart."""

    def __init__(self, key: nn.Module, query: nn.Module | None = None) -> None:
        super().__init__()
        self.key, self.query, self.places = key, query or key, nn.Parameter(torch.randn(7, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places
        return (self.query(x) @ self.key(x).mT / 6**0.5).softmax(-1) @ x


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: Single(nn.Linear(6, 6)), True),
        (lambda: Single(nn.Linear(6, 6), nn.Linear(6, 6)), False),
        (lambda: Single(nn.Identity()), False),
    ],
)
def test_a_single_head_is_looked_at_where_a_layer_made_its_keys(model: Callable[[], Single], told: bool) -> None:
    assert bool(found(at.diagnose(model(), torch.randn(3, 7, 6)), "queries-are-keys")) is told
