"""nan-from-masked-keys: what is not finite at padded positions reaches real ones."""

from collections.abc import Callable

import mask_mistakes
import pytest
from examined import assert_only_found, diagnosed, found
from mask_mistakes import NAN_FROM_MASKED_KEYS


@pytest.mark.parametrize("mistake", NAN_FROM_MASKED_KEYS.values(), ids=NAN_FROM_MASKED_KEYS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "nan-from-masked-keys")


def test_nan_that_the_example_does_not_hold_is_a_note(seed: int) -> None:
    model, inputs, options = mask_mistakes.nan_behind_the_mask()
    clean = {**inputs, "frames": inputs["frames"].nan_to_num()}
    assert found(diagnosed((model, clean, options)), "nan-from-masked-keys")[0].severity == "note"
