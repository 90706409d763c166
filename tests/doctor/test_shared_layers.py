"""shared-layers: layers that are one."""

from collections.abc import Callable

import pytest
from examined import assert_only_found, diagnosed, found
from healthy_styles import HEALTHY
from unused_mistakes import SHARED_LAYERS


@pytest.mark.parametrize("mistake", SHARED_LAYERS.values(), ids=SHARED_LAYERS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "shared-layers")


def test_one_layer_that_runs_several_times_is_a_note(seed: int) -> None:
    (finding,) = found(diagnosed(HEALTHY["shared on purpose"]()), "shared-layers")
    assert (finding.severity, finding.evidence["runs"]) == ("note", 3)
