"""labels-shifted: the loss asks for another token than the next."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, diagnosed, found
from label_mistakes import LABELS_SHIFTED


@pytest.mark.parametrize("mistake", LABELS_SHIFTED.values(), ids=LABELS_SHIFTED)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "labels-shifted")


def test_how_far_is_said(seed: int) -> None:
    (finding,) = found(diagnosed(LABELS_SHIFTED["in-data-and-model"]()), "labels-shifted")
    assert finding.evidence["wanted token = token +2 positions from there"] > 0.9
    (finding,) = found(diagnosed(LABELS_SHIFTED["backwards"]()), "labels-shifted")
    assert finding.evidence["wanted token = token -1 positions from there"] > 0.9
