"""batch-dependence: the result of a row depends on the other rows."""

from collections.abc import Callable

import pytest
import torch
from examined import assert_only_error, errors
from padding_mistakes import BATCH_DEPENDENCE
from torch import Tensor, nn

import attentio as at
from attentio.doctor.patient.facts import Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.subject import Subject


@pytest.mark.parametrize("mistake", BATCH_DEPENDENCE.values(), ids=BATCH_DEPENDENCE)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "batch-dependence")


class Mixing(nn.Module):
    """Features of a width that equals the length of the example; every row is read by all."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(5, 11)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.projection(features)
        return hidden.mean(1) + hidden.mean((0, 1))


def test_a_width_that_equals_the_length_is_not_taken_for_positions(seed: int) -> None:
    example = torch.randn(3, 11, 5)
    outputs = learn(Subject(Mixing(), example), Told()).outputs
    assert [(one.batch_axis, one.sequence) for one in outputs] == [(0, None)]
    assert errors(at.diagnose(Mixing(), example)) == ["batch-dependence"]


def test_one_sequence_without_a_batch_is_not_taken_for_a_batch(seed: int) -> None:
    diagnosis = at.diagnose(nn.LSTM(5, 7), torch.randn(11, 5))
    assert diagnosis.healthy, str(diagnosis)
    assert diagnosis.skipped["batch-dependence"] == "no axis of the batch was found"
