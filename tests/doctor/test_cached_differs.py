"""cached-differs: however a model takes its cache, it is found by trying; and a model that has none is not accused."""

from collections.abc import Callable
from typing import Any

import cached_models as cached
import decoding_mistakes as decoding
import huggingface_zoo as huggingface
import pytest
import torch
from examined import assert_only_error, diagnosed, errors
from sequence_models import Case, Decoder, rows
from torch import Tensor, nn

import attentio as at

MISTAKES = decoding.CACHED_DIFFERS | cached.CACHED_DIFFERS


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "cached-differs")


@pytest.mark.parametrize("case", cached.HEALTHY.values(), ids=cached.HEALTHY)
def test_a_healthy_cache_is_examined_however_it_is_returned_and_taken(case: Callable[[], Case], seed: int) -> None:
    diagnosis = diagnosed(case())
    assert "cached-differs" in diagnosis.checked, str(diagnosis)
    assert not errors(diagnosis), str(diagnosis)


@pytest.mark.parametrize("late", [False, True])
def test_a_state_is_stepped_with_the_mask_of_the_step_alone(late: bool, seed: int) -> None:
    tokens, real = rows(11, 7, 9)
    diagnosis = at.diagnose(
        cached.MaskedRecurrent(late=late), {"tokens": tokens, "attention_mask": real.long()}, causal=True
    )
    assert "cached-differs" in diagnosis.checked, str(diagnosis)
    assert errors(diagnosis) == (["cached-differs"] if late else []), str(diagnosis)


@pytest.mark.parametrize("form", [tuple, torch.Tensor])
def test_inputs_given_by_place_are_stepped_through_by_place(form: type, seed: int) -> None:
    tokens = rows(11, 11)[0]
    inputs = (tokens,) if form is tuple else tokens
    healthy = at.diagnose(cached.decorated(cached.Cached), inputs)
    assert "cached-differs" in healthy.checked, str(healthy)
    assert not errors(healthy), str(healthy)
    broken = at.diagnose(cached.decorated(cached.PlacesBeginAgain), inputs)
    assert errors(broken) == ["cached-differs"], str(broken)


def test_the_finding_says_how_the_model_was_stepped(seed: int) -> None:
    case = cached.CACHED_DIFFERS["under-another-name, places begin again"]()
    (finding,) = diagnosed(case).findings
    assert "seen_so_far, handed back as earlier" in finding.explanation
    assert finding.evidence["first position that differs"] == 5


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Decoder, "returns nothing beside its outputs that could be a cache"),
        (cached.Swallows, "refuses or ignores what it returned"),
        (cached.Styled, "refuses or ignores what it returned"),
    ],
)
def test_a_model_without_a_cache_is_skipped_with_the_reason(model: type[nn.Module], reason: str, seed: int) -> None:
    diagnosis = at.diagnose(model(), {"tokens": rows(11, 11)[0]})
    assert not errors(diagnosis), str(diagnosis)
    assert reason in diagnosis.skipped["cached-differs"]
    assert "give step=" in diagnosis.skipped["cached-differs"]


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bart"])
def test_transformers_behind_kwargs_is_diagnosed(architecture: str, seed: int) -> None:
    model, inputs = huggingface.ARCHITECTURES[architecture]()
    diagnosis = at.diagnose(Wrapped(model), inputs)
    assert "cached-differs" in diagnosis.checked, str(diagnosis)
    assert not errors(diagnosis), str(diagnosis)


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, **kwargs: Any) -> Any:
        return self.inner(**kwargs)


def test_a_cache_of_transformers_that_loses_its_positions_is_found(seed: int) -> None:
    """Every step of GPT-2 is told that it stands at position 0, as by a wrapper that forgets the past."""

    class Forgetful(Wrapped):
        def forward(self, input_ids: Tensor, **kwargs: Any) -> Any:
            positions = torch.arange(input_ids.shape[1]).expand_as(input_ids)
            return self.inner(input_ids=input_ids, position_ids=positions, **kwargs)

    model, inputs = huggingface.ARCHITECTURES["gpt2"]()
    assert "cached-differs" in errors(at.diagnose(Forgetful(model), inputs))


def test_a_model_that_hides_its_mask_behind_kwargs_is_not_accused_of_reading_padding(seed: int) -> None:
    """Without its mask it cannot know what padding is, though an embedding declares a token for it."""
    model, inputs = huggingface.ARCHITECTURES["roberta"]()
    diagnosis = at.diagnose(Wrapped(model), {"input_ids": inputs["input_ids"]})
    assert not errors(diagnosis), str(diagnosis)
    assert diagnosis.concluded["input_ids"].endswith("nothing says what its padding is")
