"""unused-parameters: nothing depends on a parameter, or on an attention."""

import warnings
from collections.abc import Callable

import pytest
import torch
from examined import assert_only_error, errors, found
from sequence_models import Decoder, rows
from torch import Tensor, nn
from unused_mistakes import UNUSED_PARAMETERS

import attentio as at


@pytest.mark.parametrize("mistake", UNUSED_PARAMETERS.values(), ids=UNUSED_PARAMETERS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "unused-parameters")


def test_a_layer_that_never_runs_is_a_warning_and_named(seed: int) -> None:
    model = Decoder()
    model.forgotten = nn.Linear(5, 7)
    (finding,) = found(at.diagnose(model, rows(11, 11)[0]), "unused-parameters")
    assert (finding.severity, finding.where) == ("warning", "forgotten")
    assert finding.evidence["parameters"] == 42


def test_what_an_input_that_was_not_given_may_use_is_a_note(seed: int) -> None:
    class Optional(Decoder):
        def __init__(self) -> None:
            super().__init__()
            self.prompt = nn.Linear(5, 24)

        def forward(self, tokens: Tensor, prompt: Tensor | None = None) -> Tensor:
            return super().forward(tokens) + (0 if prompt is None else self.read_out(self.prompt(prompt)))

    assert [one.severity for one in found(at.diagnose(Optional(), rows(11, 11)[0]), "unused-parameters")] == ["note"]


def test_what_only_training_returns_is_a_note(seed: int) -> None:
    class Auxiliary(Decoder):
        def __init__(self) -> None:
            super().__init__()
            self.auxiliary = nn.Linear(31, 2)

        def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
            logits = super().forward(tokens)
            return (logits, self.auxiliary(logits)) if self.training else (logits,)

    (finding,) = found(at.diagnose(Auxiliary(), rows(11, 11)[0]), "unused-parameters")
    assert (finding.severity, finding.where) == ("note", "auxiliary")
    assert "in training" in finding.explanation


def test_attention_before_a_quantised_layer_is_used(seed: int) -> None:
    with warnings.catch_warnings():  # torch says that torchao is to quantise in its place
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(Decoder().eval(), {nn.Linear}, dtype=torch.float16)
    diagnosis = at.diagnose(model, rows(11, 11)[0])
    assert "unused-parameters" in diagnosis.checked
    assert not errors(diagnosis), str(diagnosis)


def test_layers_with_one_scale_for_the_whole_batch_are_refused(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(Decoder().eval(), {nn.Linear})
    with pytest.raises(ValueError, match=r"read_out is quantised dynamically to 8 bits"):
        at.diagnose(model, rows(11, 11)[0])
