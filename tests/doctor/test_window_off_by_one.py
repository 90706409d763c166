"""window-off-by-one: a window reaches further, or less far, than it was said to."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from decoding_mistakes import WINDOW_OFF_BY_ONE
from examined import assert_only_error
from sequence_models import Decoder, rows

import attentio as at


@pytest.mark.parametrize("mistake", WINDOW_OFF_BY_ONE.values(), ids=WINDOW_OFF_BY_ONE)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "window-off-by-one")


def test_a_configuration_that_refuses_to_name_one_window_is_left_alone(seed: int) -> None:
    class PerLayer(SimpleNamespace):
        @property
        def sliding_window(self) -> int:
            raise ValueError("'sliding_window' may vary across layers")

    model = Decoder()
    model.config = PerLayer()
    skipped = at.diagnose(model, rows(9, 9)[0]).skipped["window-off-by-one"]
    assert skipped == "no one window was declared: 'sliding_window' may vary across layers"
