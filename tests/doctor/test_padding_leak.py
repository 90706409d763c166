"""padding-leak: padding changes the results of real positions."""

from collections.abc import Callable

import huggingface_zoo as huggingface
import padding_mistakes as padded
import pytest
import torch
import transformers as hf
from examined import assert_only_error, diagnosed, errors, found
from padding_mistakes import PADDING_LEAK
from sequence_models import VOCABULARY, Encoder, rows
from torch import Tensor, nn

import attentio as at
from attentio.doctor.patient.facts import Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.subject import Subject


@pytest.mark.parametrize("mistake", PADDING_LEAK.values(), ids=PADDING_LEAK)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "padding-leak")


@pytest.mark.parametrize(("mistake", "where"), [("mask-ignored", "blocks.1"), ("cross-unmasked", "cross")])
def test_the_module_where_it_happens_is_named(mistake: str, where: str, seed: int) -> None:
    assert found(diagnosed(PADDING_LEAK[mistake]()), "padding-leak")[0].where == where


def test_nan_at_padding_is_no_leak(seed: int) -> None:
    class NanAtPadding(Encoder):
        def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits = super().forward(tokens, attention_mask)
            return logits.masked_fill(~attention_mask.bool()[:, :, None], torch.nan)

    diagnosis = at.diagnose(NanAtPadding(), padded.padded(11, 7, 9))
    assert not errors(diagnosis), str(diagnosis)


class Subsampling(nn.Module):
    """Speech: every second frame is left, and those of padding are told by `lengths`."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(5, 12, 3, 2, 1)
        layer = nn.TransformerEncoderLayer(12, 2, 17, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(features.shape[1]) < lengths[:, None]
        frames = self.convolution((features * real[..., None]).transpose(1, 2)).transpose(1, 2)
        padding = torch.arange(frames.shape[1]) >= (lengths[:, None] + 1) // 2
        return self.encoder(frames + 1.0, src_key_padding_mask=padding) + features[:, ::2].mean(2, keepdim=True)


def test_a_shortened_signal_is_no_result_of_a_row(seed: int) -> None:
    """What stands at padded frames may move: nobody reads it."""
    diagnosis = at.diagnose(Subsampling(), {"features": torch.randn(3, 13, 5), "lengths": torch.tensor([13, 5, 9])})
    assert errors(diagnosis) == [], str(diagnosis)


@pytest.mark.parametrize("left", [False, True])
def test_positions_counted_by_token_do_not_leak_padding_that_the_pooled_first_position_reads(
    left: bool, seed: int
) -> None:
    """MPNet counts the tokens that are not padding. Masked columns of padding before a sentence change nothing."""
    model, _ = huggingface.one_sequence(hf.MPNetModel(hf.MPNetConfig(**huggingface.ENCODER, pad_token_id=1)))
    inputs = huggingface.sentences(padding=1, left=left)
    diagnosis = at.diagnose(model, inputs)
    assert errors(diagnosis) == [], str(diagnosis)
    assert {"padding-leak", "positions-ignore-padding"} <= set(diagnosis.checked)
    assert "positions-ignore-padding" not in {finding.check for finding in diagnosis.findings}

    longer = {name: torch.cat([torch.full((3, 2), int(name == "input_ids")), inputs[name]], 1) for name in inputs}
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        alone, after = (model.eval().double()(**each).last_hidden_state for each in (inputs, longer))
    torch.testing.assert_close(after[:, 2:][real], alone[real], rtol=0, atol=1e-5)


def test_returned_weights_and_hidden_states_are_no_leak_of_padding(seed: int) -> None:
    config = hf.BertConfig(**huggingface.ENCODER, attn_implementation="eager")
    model, inputs = huggingface.one_sequence(hf.BertModel(config))
    asked = {**inputs, "output_attentions": True, "output_hidden_states": True}
    diagnosis = at.diagnose(model, asked)
    assert errors(diagnosis) == [], str(diagnosis)
    assert "padding-leak" in diagnosis.checked
    outputs = {one.path: one.sequence for one in learn(Subject(model, asked), Told()).outputs}
    assert outputs["hidden_states.1"] == "input_ids"
    assert outputs["pooler_output"] is None
    assert not [path for path in outputs if path.startswith("attentions")]


def test_a_sequence_whose_padding_could_not_be_tried_is_not_called_checked(seed: int) -> None:
    class WrongMask(nn.Module):
        """Its cross-attention hides the target's padding among the source's positions."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(VOCABULARY, 16, padding_idx=0), nn.Embedding(64, 16)
            self.encoder, self.decoder, self.cross = (nn.MultiheadAttention(16, 2, batch_first=True) for _ in range(3))
            self.head = nn.Linear(16, VOCABULARY)

        def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            n = target.shape[1]
            x, y = (self.tokens(one) + self.places.weight[: one.shape[1]] for one in (source, target))
            x = x + self.encoder(x, x, x, key_padding_mask=source == 0)[0]
            later = torch.ones(n, n, dtype=torch.bool).triu(1)
            y = y + self.decoder(y, y, y, key_padding_mask=target == 0, attn_mask=later)[0]
            return self.head(y + self.cross(y, x, x, key_padding_mask=target == 0)[0])

    source, target = padded.padded(12, 7, 9)["tokens"], padded.padded(12, 9, 6)["tokens"]
    diagnosis = at.diagnose(WrongMask(), {"source": source, "target": target})
    assert "padding-leak" not in diagnosis.checked
    assert diagnosis.skipped["padding-leak"].startswith("source: ")


@pytest.mark.parametrize("lengths", [(9, 9, 9), (9, 6, 9)])
def test_a_mask_that_only_silences_outputs_is_found_without_a_padded_row_too(
    lengths: tuple[int, ...], seed: int
) -> None:
    class Silencing(Encoder):
        def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
            return super().forward(tokens, torch.ones_like(attention_mask)) * attention_mask.unsqueeze(2)

    tokens, real = rows(*lengths)
    assert "padding-leak" in errors(at.diagnose(Silencing(), {"tokens": tokens, "attention_mask": real.long()}))
