"""train-eval-differ: training and evaluation differ, dropout apart."""

from collections.abc import Callable

import pytest
import torch
from examined import assert_only_error, diagnosed, found
from mode_mistakes import TRAIN_EVAL_DIFFER
from torch import Tensor, nn

import attentio as at


@pytest.mark.parametrize("mistake", TRAIN_EVAL_DIFFER.values(), ids=TRAIN_EVAL_DIFFER)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "train-eval-differ")


def test_the_module_is_named(seed: int) -> None:
    (finding,) = found(diagnosed(TRAIN_EVAL_DIFFER["padding-in-evaluation"]()), "train-eval-differ")
    assert finding.where.startswith("encoder.layers.0")


def test_random_numbers_other_than_dropout_are_said_to_hide_it(seed: int) -> None:
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn_like(x) * self.training

    diagnosis = at.diagnose(Noisy(5, 5), torch.randn(3, 7, 5))
    assert "random numbers other than those of dropout" in diagnosis.skipped["train-eval-differ"]
