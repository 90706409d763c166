"""teacher-forcing-leak: a decoder sees the token that it is to predict."""

from collections.abc import Callable

import huggingface_zoo as huggingface
import pytest
import torch
import transformers as hf
from examined import assert_only_error, diagnosed, errors, found
from future_mistakes import TEACHER_FORCING_LEAK
from sequence_models import Translator, translation
from torch import nn

import attentio as at


@pytest.mark.parametrize("mistake", TEACHER_FORCING_LEAK.values(), ids=TEACHER_FORCING_LEAK)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "teacher-forcing-leak")


def test_the_module_where_it_happens_is_named(seed: int) -> None:
    (finding,) = found(diagnosed(TEACHER_FORCING_LEAK["torch-transformer"]()), "teacher-forcing-leak")
    assert finding.where == "transformer.decoder.layers.0.self_attn"


def test_prophetnet_lets_predictions_see_the_answers(seed: int) -> None:
    """A true finding. transformers' ProphetNet orders the relative scores of its predicting stream (batch, position,
    n-gram, head) and reads them as (batch, n-gram, head, position), so that a query is given those of another position.
    """
    config = hf.ProphetNetConfig(
        vocab_size=60,
        hidden_size=16,
        encoder_ffn_dim=24,
        num_encoder_layers=3,
        num_encoder_attention_heads=4,
        decoder_ffn_dim=24,
        num_decoder_layers=3,
        num_decoder_attention_heads=4,
        pad_token_id=0,
        decoder_start_token_id=2,
    )
    model = hf.ProphetNetForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if "norm" not in name:  # with random norms little but rounding is left of the leak
            nn.init.normal_(parameter, std=0.2)
    source, target = torch.randint(5, 60, (2, 9)), torch.randint(5, 60, (2, 7))
    diagnosis = at.diagnose(model, {"input_ids": source, "decoder_input_ids": target})
    assert errors(diagnosis) == ["teacher-forcing-leak"], str(diagnosis)

    changed = target.clone()
    changed[:, -1] = 5 + (target[:, -1] - 4) % 55
    model.double().eval()
    with torch.no_grad():
        before, after = (
            model(input_ids=source, decoder_input_ids=each, use_cache=False).logits[:, :-1]
            for each in (target, changed)
        )
    assert (before - after).abs().max() > 1e-6 * before.abs().max()


def test_a_source_with_the_target_s_own_tokens_is_no_leak(seed: int) -> None:
    inputs = translation() | {"source_mask": torch.ones(3, 9, dtype=torch.bool)}
    diagnosis = at.diagnose(Translator(), inputs | {"target": inputs["source"].clone()})
    assert "teacher-forcing-leak" in diagnosis.checked
    assert not errors(diagnosis), str(diagnosis)


def test_labels_that_end_in_padding_are_not_changed_to_it(seed: int) -> None:
    config = hf.MBartConfig(**huggingface.SEQ2SEQ, pad_token_id=1)  # the last token that is no padding comes first
    labels = torch.randint(4, 9, (3, 7))
    labels[1, -2:] = 1
    inputs = {**huggingface.sentences(padding=1), "labels": labels}
    for _ in range(3):
        diagnosis = at.diagnose(hf.MBartForConditionalGeneration(config), inputs)
        assert errors(diagnosis) == ["loss-counts-padding"], str(diagnosis)


def test_labels_that_are_nearly_the_source_are_no_leak(seed: int) -> None:
    config = hf.BartConfig(**huggingface.SEQ2SEQ, pad_token_id=1)
    labels = torch.randint(4, huggingface.VOCABULARY, (3, 20))
    noisy = labels.clone()
    noisy[:, 4] = 3
    diagnosis = at.diagnose(hf.BartForConditionalGeneration(config), {"input_ids": noisy, "labels": labels})
    assert "teacher-forcing-leak" in diagnosis.checked
    assert not errors(diagnosis), str(diagnosis)
