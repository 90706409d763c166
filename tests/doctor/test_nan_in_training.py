"""nan-in-training: what is finite in evaluation is NaN once dropout is at work."""

from collections.abc import Callable

import pytest
import torch
from examined import assert_only_error, diagnosed, found
from mode_mistakes import NAN_IN_TRAINING
from sequence_models import Decoder, rows
from torch import Tensor

import attentio as at


@pytest.mark.parametrize("mistake", NAN_IN_TRAINING.values(), ids=NAN_IN_TRAINING)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "nan-in-training")


def test_the_number_of_lost_results_is_told(seed: int) -> None:
    (finding,) = found(diagnosed(NAN_IN_TRAINING["dropped-scores"]()), "nan-in-training")
    assert 0 < finding.evidence["NaN"] <= finding.evidence["of numbers"] == 2 * 11 * 31


def test_what_is_nan_in_evaluation_too_is_not_told_of_training(seed: int) -> None:
    class FirstIsNaN(Decoder):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens).index_fill(1, torch.tensor([0]), torch.nan)

    assert not found(at.diagnose(FirstIsNaN(), rows(9, 9)[0]), "nan-in-training")
