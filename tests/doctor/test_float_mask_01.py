"""float-mask-01: a mask of 0 and 1 is added to the scores, or multiplied with them."""

import math
from collections.abc import Callable

import mask_mistakes
import pytest
import torch
from examined import assert_only_found, diagnosed, errors, found
from mask_mistakes import FLOAT_MASK_01
from sequence_models import WIDTH, Block, Decoder, rows
from torch import Tensor, nn

import attentio as at


@pytest.mark.parametrize("mistake", FLOAT_MASK_01.values(), ids=FLOAT_MASK_01)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "float-mask-01")


class Multiplied(Block):
    """Scores times a mask of 0 and 1, and what that leaves at the masked places."""

    def __init__(self, low: float) -> None:
        super().__init__()
        self.low = low

    def attend(self, hidden: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        query, key, value = map(self.split, (self.query(hidden), self.key(memory), self.value(memory)))
        kept = mask.to(query.dtype)
        scores = query @ key.mT / (WIDTH // query.shape[1]) ** 0.5
        weights = (scores * kept + self.low * (1 - kept)).softmax(-1)
        return self.output((weights @ value).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(("low", "told"), [(0.0, 2 * ["float-mask-01"]), (-1e4, [])])
def test_scores_times_a_causal_mask_are_told_unless_it_masks_by_other_means_too(
    low: float, told: list[str], seed: int
) -> None:
    """-1e4 is how the first GPT did it."""
    model = Decoder()
    model.blocks = nn.ModuleList([Multiplied(low), Multiplied(low)])
    assert errors(at.diagnose(model, rows(11, 11)[0])) == told


def test_the_module_is_named(seed: int) -> None:
    assert found(diagnosed(mask_mistakes.zero_and_one_for_multihead()), "float-mask-01")[0].where == "attention.attend"


def test_evidence_of_a_mask_of_zero_and_one_is_how_much_is_still_seen(seed: int) -> None:
    evidence = found(diagnosed(mask_mistakes.zero_and_one_for_sdpa()), "float-mask-01")[0].evidence
    zero, one = evidence.values()
    assert 0 < zero < one < math.e * zero * 3


@pytest.mark.parametrize("layer", [nn.MultiheadAttention, at.MultiheadAttention])
def test_a_mask_of_zero_and_one_is_found_in_torchs_layer_and_in_the_drop_in(layer: type, seed: int) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = layer(12, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype).tril()
            return self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]

    assert "float-mask-01" in errors(at.diagnose(Model(), torch.randn(2, 9, 12)))
