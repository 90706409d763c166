"""T5's relative positions: the buckets are those of transformers, and of its code's rule in whole numbers."""

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from attentio.layers.positions import FARTHEST, RelativePositions, relative_buckets


@pytest.mark.parametrize("causal", [True, False])
def test_the_buckets_are_those_of_t5(causal: bool) -> None:
    distances = torch.arange(-2 * FARTHEST, 2 * FARTHEST + 1)[None]
    theirs = T5Attention._relative_position_bucket(distances, not causal, 32, FARTHEST)
    assert torch.equal(relative_buckets(distances, causal=causal), theirs)


def test_the_bias_of_a_part_is_the_part_of_the_bias(seed: int) -> None:
    layer, along = RelativePositions(3, causal=True, std=1.0), torch.arange(211)
    whole = layer(along, along)
    assert whole.shape == (3, 211, 211)
    assert torch.equal(layer(along[150:157], along), whole[:, 150:157])
