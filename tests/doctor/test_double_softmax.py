"""double-softmax: a softmax of what is already a distribution."""

import math
from collections.abc import Callable

import pytest
import softmax_mistakes
from examined import assert_only_found, diagnosed, found
from softmax_mistakes import DOUBLE_SOFTMAX
from tagger import HEAD_FEATURES, Projected, example
from torch import Tensor


@pytest.mark.parametrize("mistake", DOUBLE_SOFTMAX.values(), ids=DOUBLE_SOFTMAX)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "double-softmax")


def test_the_module_is_named(seed: int) -> None:
    assert found(diagnosed(softmax_mistakes.softmax_twice()), "double-softmax")[0].where == "attention"


def test_evidence_of_a_double_softmax_is_that_it_evens_out(seed: int) -> None:
    (finding,) = found(diagnosed(softmax_mistakes.probabilities_for_cross_entropy()), "double-softmax")
    before, after, _ = finding.evidence.values()
    assert after < before


def test_numbers_that_only_happen_to_lie_between_0_and_1_are_no_distribution(seed: int) -> None:
    class Rectified(Projected):
        def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
            query, key, value = self.heads(hidden)
            scores = (query @ key.mT / math.sqrt(HEAD_FEATURES)).sigmoid() * 0.99
            return self.join(scores.masked_fill(~real[:, None, None, :], -1e9).softmax(-1) @ value)

    assert not found(diagnosed(example(Rectified())), "double-softmax")
