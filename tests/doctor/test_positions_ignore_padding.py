"""positions-ignore-padding: positions are counted from the first column, also where that is padding."""

from collections.abc import Callable

import huggingface_zoo as huggingface
import pytest
import torch
from examined import assert_only_error, errors
from padding_mistakes import POSITIONS_IGNORE_PADDING

import attentio as at


@pytest.mark.parametrize("mistake", POSITIONS_IGNORE_PADDING.values(), ids=POSITIONS_IGNORE_PADDING)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "positions-ignore-padding")


def test_gpt2_padded_at_the_start_counts_positions_from_the_padding(seed: int) -> None:
    """A true finding. transformers' GPT2Model.forward numbers positions by column unless it is given `position_ids`;
    only `generate` derives them from the mask. So a row padded at the start has other logits than alone.
    """
    model, _ = huggingface.ARCHITECTURES["gpt2"]()
    inputs = huggingface.sentences(padding=0, left=True)
    diagnosis = at.diagnose(model, inputs)
    assert errors(diagnosis) == ["positions-ignore-padding"], str(diagnosis)

    alone = inputs["input_ids"][1:2, -7:]
    real = inputs["attention_mask"]
    with torch.no_grad():
        by_column = model.eval()(**inputs).logits[1, -7:]
        counted = model(**inputs, position_ids=(real.cumsum(1) - 1).clamp(min=0)).logits[1, -7:]
        expected = model(alone).logits[0]
    torch.testing.assert_close(counted, expected, rtol=1e-4, atol=1e-4)
    assert (by_column - expected).abs().max() > 0.1 * expected.abs().max()
