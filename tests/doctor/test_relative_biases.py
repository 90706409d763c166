"""relative-positions: queries and keys are turned wrongly."""

from collections.abc import Callable

import pytest
from examined import assert_only_found, diagnosed, found
from position_mistakes import RELATIVE_POSITIONS


@pytest.mark.parametrize("mistake", RELATIVE_POSITIONS.values(), ids=RELATIVE_POSITIONS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "relative-positions")


@pytest.mark.parametrize(
    ("mistake", "severity", "said"),
    [
        ("queries-only", "error", "positions act on queries alone"),
        ("wrong-sign", "error", "turned in opposite directions"),
        ("other-pairs", "warning", "turned, but not alike"),
    ],
)
def test_what_is_wrong_is_said(mistake: str, severity: str, said: str, seed: int) -> None:
    (finding,) = found(diagnosed(RELATIVE_POSITIONS[mistake]()), "relative-positions")
    assert finding.severity == severity
    assert said in finding.title
