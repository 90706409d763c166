"""future-leak: an output of a causal model depends on later inputs."""

from collections.abc import Callable

import decoding_mistakes as decoding
import padding_mistakes as padded
import pytest
import torch
from examined import assert_only_error, diagnosed, errors, found
from future_mistakes import FUTURE_LEAK
from position_mistakes import FUTURE_LEAK as BESIDE_ATTENTION
from sequence_models import Decoder, Encoder, rows

import attentio as at


@pytest.mark.parametrize("mistake", [*FUTURE_LEAK.values(), *BESIDE_ATTENTION.values()])
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "future-leak")


@pytest.mark.parametrize(("mistake", "where"), [("diagonal", "blocks.0"), ("convolution", "convolution")])
def test_the_module_where_it_happens_is_named(mistake: str, where: str, seed: int) -> None:
    assert found(diagnosed(FUTURE_LEAK[mistake]()), "future-leak")[0].where == where


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


def test_a_small_leak_is_seen_since_the_copy_runs_in_float64(seed: int) -> None:
    class Faint(Decoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = self.reader(tokens)
            return super().forward(tokens) + 1e-8 * self.read_out(hidden.roll(-1, 1))

    findings = at.diagnose(Faint().float(), rows(9, 9)[0], causal=True).findings
    assert [one.check for one in findings if one.severity == "error"] == ["future-leak"]


def test_a_bidirectional_model_gets_a_note_unless_it_is_said_to_be_causal(seed: int) -> None:
    model, inputs = Encoder(), padded.padded(11, 7, 9)
    assert {f.severity for f in at.diagnose(model, inputs).findings if f.check == "future-leak"} == {"note"}
    assert not [f for f in at.diagnose(model, inputs, causal=False).findings if f.check == "future-leak"]
    assert {f.severity for f in at.diagnose(model, inputs, causal=True).findings if f.check == "future-leak"} == {
        "error"
    }


def test_a_forgotten_causal_mask_is_found_when_the_loss_asks_for_the_next_token(seed: int) -> None:
    class Unmasked(Decoder):
        def mask(self, length: int) -> torch.Tensor:
            return torch.ones(length, length, dtype=torch.bool)

    diagnosis = at.diagnose(Unmasked(), rows(9, 9)[0], loss=decoding.counting_loss)
    assert errors(diagnosis) == ["future-leak"], str(diagnosis)
    assert diagnosis.concluded["causal"] == "expected: its loss asks for the next token"


def test_one_layer_without_the_mask_of_the_others_is_found(seed: int) -> None:
    class OneUnmasked(Decoder):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = self.blocks[0](self.reader(tokens), self.mask(tokens.shape[1]))
            return self.read_out(self.blocks[1](hidden, torch.ones(9, 9, dtype=torch.bool)))

    diagnosis = at.diagnose(OneUnmasked(), rows(9, 9)[0])
    assert errors(diagnosis) == ["future-leak"], str(diagnosis)
    assert "other layers beside blocks.1 have a causal mask" in diagnosis.concluded["causal"]


class HeadsDiffer(Decoder):
    """Each head of the first layer has a mask of its own."""

    def __init__(self, *heads: str) -> None:
        super().__init__(layers=1)
        self.heads = heads

    def mask(self, length: int) -> torch.Tensor:
        both = torch.ones(length, length, dtype=torch.bool)
        return torch.stack([{"earlier": both.tril(), "later": both.triu(), "both": both}[head] for head in self.heads])


def test_one_head_without_the_mask_of_the_others_is_found(seed: int) -> None:
    diagnosis = at.diagnose(HeadsDiffer("earlier", "both", "earlier"), rows(9, 9)[0])
    assert errors(diagnosis) == ["future-leak"], str(diagnosis)
    assert "2 of 3 heads of blocks.0 have a causal mask" in diagnosis.concluded["causal"]


@pytest.mark.parametrize(
    "heads", [("earlier", "later", "later"), ("earlier", "later", "both"), ("earlier", "both", "both")]
)
def test_heads_that_look_either_way_on_purpose_are_no_leak(heads: tuple[str, ...], seed: int) -> None:
    diagnosis = at.diagnose(HeadsDiffer(*heads), rows(9, 9)[0])
    assert not errors(diagnosis), str(diagnosis)


@pytest.mark.parametrize("spans", [[7, 5], [8, 4], [4, 4, 4, 1], [2, 9]])
def test_spans_of_any_lengths_that_see_themselves_are_no_leak(spans: list[int], seed: int) -> None:
    class Packed(Encoder):
        def forward(self, tokens: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
            hidden = self.reader(tokens)
            for block in self.blocks:
                hidden = block(hidden, (segments[:, :, None] == segments[:, None, :])[:, None])
            return self.read_out(hidden)

    segments = torch.arange(len(spans)).repeat_interleave(torch.tensor(spans)).expand(3, -1).clone()
    tokens = torch.randint(1, 20, segments.shape)
    diagnosis = at.diagnose(Packed(), {"tokens": tokens, "segments": segments})
    assert not found(diagnosis, "future-leak") or found(diagnosis, "future-leak")[0].severity == "note", str(diagnosis)


@pytest.mark.parametrize("scale", [3.0, 9.0])
@pytest.mark.parametrize("trial", range(4))
def test_attention_without_a_mask_that_is_nearly_a_choice_is_no_leak(scale: float, trial: int, seed: int) -> None:
    """Each query sees few keys then, and it is chance how many of them come later."""

    class Saturated(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x, scale=scale)

    diagnosis = at.diagnose(Saturated(), torch.randn(2, 8, 8))
    assert not errors(diagnosis), str(diagnosis)
