"""fully-masked-rows: a query that may attend to no key at all."""

from collections.abc import Callable

import mask_mistakes
import pytest
from examined import assert_only_found, diagnosed, found
from mask_mistakes import FULLY_MASKED_ROWS
from tagger import example
from torch import Tensor, nn


@pytest.mark.parametrize("mistake", FULLY_MASKED_ROWS.values(), ids=FULLY_MASKED_ROWS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "fully-masked-rows")


def test_a_sentence_of_padding_may_be_refused(seed: int) -> None:
    class Refuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mask_mistakes.EmptySentenceIsNaN()

        def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
            if not real.any(1).all():
                raise ValueError("an empty sentence")
            return self.inner(hidden, real)

    assert not found(diagnosed(example(Refuses())), "fully-masked-rows")
