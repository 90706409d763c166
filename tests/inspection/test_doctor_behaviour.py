"""Each mistake of the zoo is found by the check that is named after it, and by no other."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import attentio as at

sys.path.append(str(Path(__file__).parent / "zoo"))

import decoding_mistakes as decoding
import future_mistakes as future
import padding_mistakes as padded
from sequence_models import Case, Decoder, Encoder, rows

FAMILIES = {
    "future-leak": future.FUTURE_LEAK,
    "teacher-forcing-leak": future.TEACHER_FORCING_LEAK,
    "padding-leak": padded.PADDING_LEAK,
    "encoder-reads-padding": padded.ENCODER_READS_PADDING,
    "positions-ignore-padding": padded.POSITIONS_IGNORE_PADDING,
    "batch-dependence": padded.BATCH_DEPENDENCE,
    "dropout-in-eval": padded.DROPOUT_IN_EVAL,
    "cached-differs": decoding.CACHED_DIFFERS,
    "window-off-by-one": decoding.WINDOW_OFF_BY_ONE,
    "loss-counts-padding": decoding.LOSS_COUNTS_PADDING,
}
MISTAKES = [
    pytest.param(check, build, id=f"{check}-{name}")
    for check, cases in FAMILIES.items()
    for name, build in cases.items()
]


@pytest.mark.parametrize(("check", "build"), MISTAKES)
def test_each_mistake_is_the_one_error_found(check: str, build: Callable[[], Case], seed: int) -> None:
    case = build()
    diagnosis = at.diagnose(case.model, case.inputs, **case.options)
    assert {finding.check for finding in diagnosis.findings if finding.severity == "error"} == {check}, str(diagnosis)
    assert not diagnosis.healthy
    for finding in diagnosis.findings:
        assert finding.explanation
        assert finding.cure
        assert finding.evidence


WHERE = {
    "blocks.0": future.FUTURE_LEAK["diagonal"],
    "convolution": future.FUTURE_LEAK["convolution"],
    "transformer.decoder.layers.0.self_attn": future.TEACHER_FORCING_LEAK["torch-transformer"],
    "blocks.1": padded.PADDING_LEAK["mask-ignored"],
    "cross": padded.PADDING_LEAK["cross-unmasked"],
    "lstm": padded.ENCODER_READS_PADDING["bidirectional"],
    "gru": padded.ENCODER_READS_PADDING["last-state"],
}


@pytest.mark.parametrize("where", WHERE)
def test_the_module_where_it_happens_is_named(where: str, seed: int) -> None:
    case = WHERE[where]()
    errors = [one for one in at.diagnose(case.model, case.inputs, **case.options).findings if one.severity == "error"]
    assert [error.where for error in errors] == [where]


def test_the_earliest_output_that_sees_the_future_is_named(seed: int) -> None:
    class LooksAheadFromFive(Decoder):
        def mask(self, length: int) -> torch.Tensor:
            mask = super().mask(length)
            mask[5, 6] = True
            return mask

    finding = at.diagnose(LooksAheadFromFive(layers=1), rows(9, 9)[0]).findings[0]
    assert finding.check == "future-leak"
    assert finding.evidence["earliest output that moved"] == 5
    assert finding.evidence["changed"] == "tokens at position 6"
    assert finding.evidence["gradient of that output on later inputs (relative)"] > 1e-4


def test_a_dependence_that_no_change_shows_is_found_by_gradient(seed: int) -> None:
    class Rounded(Decoder):
        """The future comes in by its rounding error: nothing moves, yet a gradient flows (straight through)."""

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = self.reader(tokens)
            ahead = hidden.roll(-1, 1)
            ahead = ahead - ahead.detach()
            for block in self.blocks:
                hidden = block(hidden, self.mask(tokens.shape[1]))
            return self.read_out(hidden + ahead)

    findings = at.diagnose(Rounded(), rows(9, 9)[0]).findings
    assert [one.check for one in findings if one.severity == "error"] == ["future-leak"]
    assert findings[0].evidence["moved by changing contents"] == 0.0


def test_a_bidirectional_model_gets_a_note_unless_it_is_said_to_be_causal(seed: int) -> None:
    model, inputs = Encoder(), padded.padded(11, 7, 9)
    assert {f.severity for f in at.diagnose(model, inputs).findings if f.check == "future-leak"} == {"note"}
    assert not [f for f in at.diagnose(model, inputs, causal=False).findings if f.check == "future-leak"]
    assert {f.severity for f in at.diagnose(model, inputs, causal=True).findings if f.check == "future-leak"} == {
        "error"
    }


def test_a_small_leak_is_seen_since_the_copy_runs_in_float64(seed: int) -> None:
    class Faint(Decoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = self.reader(tokens)
            return super().forward(tokens) + 1e-8 * self.read_out(hidden.roll(-1, 1))

    findings = at.diagnose(Faint().float(), rows(9, 9)[0], causal=True).findings
    assert [one.check for one in findings if one.severity == "error"] == ["future-leak"]


def test_the_model_its_mode_and_the_random_state_are_untouched(seed: int) -> None:
    model = padded.Remembering()
    model.blocks[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    inputs = rows(9, 7)[0]
    given, state = inputs.clone(), torch.get_rng_state()
    at.diagnose(model, inputs)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.reader.tokens.weight.dtype == torch.float32
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(given, inputs)
    assert torch.get_default_dtype() == torch.float32


def test_positions_first_is_found_by_what_the_model_does(seed: int) -> None:
    class PositionsFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = Decoder()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.decoder(tokens.T).transpose(0, 1)

    diagnosis = at.diagnose(PositionsFirst(), rows(9, 9, 9)[0].T)
    assert diagnosis.healthy, str(diagnosis)
    assert "[positions, batch]" in diagnosis.concluded["tokens"]
    assert diagnosis.concluded["causal"].startswith("yes")


def test_nan_at_padding_is_no_leak(seed: int) -> None:
    class NanAtPadding(Encoder):
        def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits = super().forward(tokens, attention_mask)
            return logits.masked_fill(~attention_mask.bool()[:, :, None], torch.nan)

    diagnosis = at.diagnose(NanAtPadding(), padded.padded(11, 7, 9))
    assert not [f for f in diagnosis.findings if f.check in FAMILIES and f.severity == "error"], str(diagnosis)


def test_padding_is_said_by_place_and_unknown_names_are_refused(seed: int) -> None:
    class Odd(Encoder):
        def forward(self, tokens: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens, visible)

    tokens, real = rows(11, 7, 9)
    diagnosis = at.diagnose(Odd(), (tokens, real.long()), padding=1)
    assert diagnosis.healthy, str(diagnosis)
    assert "said by visible" in diagnosis.concluded["tokens"]
    with pytest.raises(
        ValueError, match=r"padding must be one of the example inputs \['tokens', 'visible'\], got 'mask'"
    ):
        at.diagnose(Odd(), (tokens, real.long()), padding="mask")


def test_a_model_that_does_not_run_on_the_example_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"the model does not run on example_inputs \(tokens: \[2, 41\]\)"):
        at.diagnose(Decoder(), rows(41, 41)[0])


def test_a_forgotten_causal_mask_is_found_when_the_loss_asks_for_the_next_token(seed: int) -> None:
    class Unmasked(Decoder):
        def mask(self, length: int) -> torch.Tensor:
            return torch.ones(length, length, dtype=torch.bool)

    diagnosis = at.diagnose(Unmasked(), rows(9, 9)[0], loss=decoding.counting_loss)
    assert [one.check for one in diagnosis.findings if one.severity == "error"] == ["future-leak"], str(diagnosis)
    assert diagnosis.concluded["causal"] == "expected: its loss asks for the next token"


def test_outputs_of_nothing_but_nan_are_an_error(seed: int) -> None:
    class Broken(Decoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens) * torch.nan

    diagnosis = at.diagnose(Broken(), rows(9, 9)[0])
    assert "no-finite-output" in {finding.check for finding in diagnosis.findings}
    assert diagnosis.skipped["future-leak"] == "no output has a finite number"


def test_one_sequence_without_a_batch_is_not_taken_for_a_batch(seed: int) -> None:
    diagnosis = at.diagnose(nn.LSTM(5, 7), torch.randn(11, 5))
    assert diagnosis.healthy, str(diagnosis)
    assert diagnosis.skipped["batch-dependence"] == "no axis of the batch was found"
