"""weights-after-dropout: weights are returned as dropout left them."""

from collections.abc import Callable

import pytest
from examined import assert_only_found, found
from softmax_mistakes import WEIGHTS_AFTER_DROPOUT
from tagger import HEADS, WIDTH, sentences

import attentio as at


@pytest.mark.parametrize("mistake", WEIGHTS_AFTER_DROPOUT.values(), ids=WEIGHTS_AFTER_DROPOUT)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "weights-after-dropout")


def test_transformers_returns_weights_from_after_dropout(seed: int) -> None:
    """True as of transformers 5: in training, the eager implementation returns what dropout left."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=31,
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_hidden_layers=1,
        intermediate_size=17,
        attn_implementation="eager",
    )
    inputs = {**sentences(), "output_attentions": True}
    findings = found(at.diagnose(BertModel(config), inputs), "weights-after-dropout")
    assert [one.severity for one in findings] == ["warning"]
