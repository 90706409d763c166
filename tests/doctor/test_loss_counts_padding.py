"""loss-counts-padding: padding counts in the loss."""

from collections.abc import Callable

import huggingface_zoo as huggingface
import pytest
import torch
import transformers as hf
from decoding_mistakes import LOSS_COUNTS_PADDING
from examined import assert_only_error, diagnosed, errors


@pytest.mark.parametrize("mistake", LOSS_COUNTS_PADDING.values(), ids=LOSS_COUNTS_PADDING)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "loss-counts-padding")


def bart(labels: torch.Tensor) -> tuple:
    """What the decoder reads is made of the labels."""
    model = hf.BartForConditionalGeneration(hf.BartConfig(**huggingface.SEQ2SEQ, pad_token_id=1))
    return model, {**huggingface.sentences(padding=1), "labels": labels}


@pytest.mark.parametrize("length", [11, 10, 6])  # as long as the source, one shorter, neither
def test_labels_that_the_decoder_reads_are_not_taken_for_the_source_s(length: int, seed: int) -> None:
    diagnosis = diagnosed(bart(torch.randint(4, huggingface.VOCABULARY, (3, length))))
    assert not errors(diagnosis), str(diagnosis)


@pytest.mark.parametrize("length", [11, 6])
@pytest.mark.parametrize("ending", [1, -100])
def test_labels_that_the_decoder_reads_must_not_end_in_the_token_of_padding(
    ending: int, length: int, seed: int
) -> None:
    labels = torch.randint(4, huggingface.VOCABULARY, (3, length))
    labels[1, -2:] = ending
    assert errors(diagnosed(bart(labels))) == ["loss-counts-padding"] * (ending == 1)
