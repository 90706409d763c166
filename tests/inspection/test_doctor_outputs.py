"""What the doctor takes an output's axes to be: attention weights, last states and shortened signals are no results of
rows; and what a check that fails by itself costs."""

from collections.abc import Iterator
from types import SimpleNamespace

import huggingface_zoo as huggingface
import pytest
import torch
import transformers as hf
from torch import Tensor, nn

import attentio as at
from attentio.inspection.doctor import examination
from attentio.inspection.doctor.diagnosis import Diagnosis, Finding
from attentio.inspection.doctor.patient import Patient


def errors(diagnosis: Diagnosis) -> list[str]:
    return [finding.check for finding in diagnosis.findings if finding.severity == "error"]


def test_returned_weights_and_hidden_states_are_no_leak_of_padding(seed: int) -> None:
    config = hf.BertConfig(**huggingface.ENCODER, attn_implementation="eager")
    model, inputs = huggingface.one_sequence(hf.BertModel(config))
    asked = {**inputs, "output_attentions": True, "output_hidden_states": True}
    diagnosis = at.diagnose(model, asked)
    assert errors(diagnosis) == [], str(diagnosis)
    assert "padding-leak" in diagnosis.checked
    outputs = {one.path: one.sequence for one in Patient(model, asked).outputs}
    assert outputs["hidden_states.1"] == "input_ids"
    assert outputs["pooler_output"] is None
    assert not [path for path in outputs if path.startswith("attentions")]


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [True, False])
def test_last_states_are_not_rows_though_there_are_as_many(layer: type, batch_first: bool, seed: int) -> None:
    model = layer(5, 7, bidirectional=True, batch_first=batch_first)
    values = torch.randn(2, 11, 5)
    diagnosis = at.diagnose(model, values if batch_first else values.transpose(0, 1))
    assert errors(diagnosis) == [], str(diagnosis)
    assert {"batch-dependence", "future-leak"} <= set(diagnosis.checked)


class Mixing(nn.Module):
    """Features of a width that equals the length of the example; every row is read by all."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(5, 11)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.projection(features)
        return hidden.mean(1) + hidden.mean((0, 1))


def test_a_width_that_equals_the_length_is_not_taken_for_positions(seed: int) -> None:
    example = torch.randn(3, 11, 5)
    assert [(one.batch, one.sequence) for one in Patient(Mixing(), example).outputs] == [(0, None)]
    assert errors(at.diagnose(Mixing(), example)) == ["batch-dependence"]


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


def test_a_check_that_fails_by_itself_says_so_and_costs_no_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(patient: Patient) -> Iterator[Finding]:
        yield Finding("broken", "warning", "seen before", "", {}, "")
        raise IndexError("index 7 is out of range\nand more")

    broken = SimpleNamespace(ID="broken", TITLE="", NEEDS=(), check=check)
    monkeypatch.setattr(examination, "CHECKS", (broken, *examination.CHECKS))
    diagnosis = at.diagnose(nn.GRU(5, 7, batch_first=True, bidirectional=True), torch.randn(3, 11, 5), causal=True)
    assert diagnosis.skipped["broken"] == "the check itself failed: IndexError: index 7 is out of range"
    assert "the check itself failed" in str(diagnosis)
    assert errors(diagnosis) == ["future-leak"]
    assert "seen before" in {finding.title for finding in diagnosis.findings}
