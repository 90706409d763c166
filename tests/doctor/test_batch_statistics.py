"""batch-statistics: statistics of the batch in training."""

from collections.abc import Callable

import pytest
from examined import assert_only_found, diagnosed, found
from healthy_styles import HEALTHY
from mode_mistakes import BATCH_STATISTICS


@pytest.mark.parametrize("mistake", BATCH_STATISTICS.values(), ids=BATCH_STATISTICS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "batch-statistics")


@pytest.mark.parametrize(("mistake", "severity"), [("causal", "error"), ("padded", "warning")])
def test_it_is_as_grave_as_what_it_lets_through(mistake: str, severity: str, seed: int) -> None:
    (finding,) = found(diagnosed(BATCH_STATISTICS[mistake]()), "batch-statistics")
    assert (finding.severity, finding.where) == (severity, "norm")


def test_behind_a_convolution_it_is_a_note(seed: int) -> None:
    (finding,) = found(diagnosed(HEALTHY["conformer"]()), "batch-statistics")
    assert finding.severity == "note"
