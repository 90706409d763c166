"""train-eval-differ: training and evaluation differ, dropout apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from examined import assert_only_error, diagnosed, found
from mode_mistakes import TRAIN_EVAL_DIFFER
from sequence_models import Decoder, rows
from torch import Tensor, nn

import attentio as at


@pytest.mark.parametrize("mistake", TRAIN_EVAL_DIFFER.values(), ids=TRAIN_EVAL_DIFFER)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "train-eval-differ")


def test_the_module_is_named(seed: int) -> None:
    (finding,) = found(diagnosed(TRAIN_EVAL_DIFFER["padding-in-evaluation"]()), "train-eval-differ")
    assert finding.where.startswith("encoder.layers.0")


def test_random_numbers_other_than_dropout_are_said_to_hide_it(seed: int) -> None:
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn_like(x) * self.training

    diagnosis = at.diagnose(Noisy(5, 5), torch.randn(3, 7, 5))
    assert "random numbers other than those of dropout" in diagnosis.skipped["train-eval-differ"]


def test_random_numbers_that_seldom_matter_are_no_other_way_to_compute(seed: int) -> None:
    fifth = int(torch.randint(1000, (), generator=torch.Generator().manual_seed(5)))

    class Seldom(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + (self.training and int(torch.randint(1000, ())) != fifth)

    diagnosis = at.diagnose(Seldom(5, 5), torch.randn(3, 7, 5))
    assert "random numbers other than those of dropout" in diagnosis.skipped["train-eval-differ"]


class UnmaskedInTraining(Decoder):
    def mask(self, length: int) -> Tensor:
        return torch.ones_like(super().mask(length)) if self.training else super().mask(length)


@pytest.mark.parametrize("beside", ["a key of its own", "in a tuple"])
def test_outputs_that_training_alone_has_do_not_hide_it(beside: str, seed: int) -> None:
    class Auxiliary(UnmaskedInTraining):
        def forward(self, tokens: Tensor) -> Any:
            logits, length = super().forward(tokens), tokens.sum(1, keepdim=True).double()
            if beside == "in a tuple":
                return (logits, length) if self.training else logits
            return {"logits": logits, "length" if self.training else "hidden": length}

    (finding,) = found(at.diagnose(Auxiliary(), rows(11, 11)[0]), "train-eval-differ")
    assert finding.severity == "error"


def test_training_that_returns_losses_alone_is_said_not_to_be_comparable(seed: int) -> None:
    class Losses(UnmaskedInTraining):
        def forward(self, tokens: Tensor) -> Any:
            logits = super().forward(tokens)
            return {"loss": logits.square().mean()} if self.training else {"logits": logits}

    diagnosis = at.diagnose(Losses(), rows(11, 11)[0])
    assert diagnosis.skipped["train-eval-differ"] == "in training the model returns other outputs: loss"
    assert "lost-gradient" in diagnosis.checked


def test_training_that_returns_the_bare_loss_is_said_not_to_be_comparable_too(seed: int) -> None:
    class Loss(UnmaskedInTraining):
        def forward(self, tokens: Tensor) -> Tensor:
            logits = super().forward(tokens)
            return logits.square().mean() if self.training else logits

    diagnosis = at.diagnose(Loss(), rows(11, 11)[0])
    assert diagnosis.skipped["train-eval-differ"].startswith("in training the model returns other outputs")
    assert "lost-gradient" in diagnosis.checked
    assert not [why for why in diagnosis.skipped.values() if "itself failed" in why]


def test_probabilities_in_evaluation_alone_are_no_weights_after_dropout(seed: int) -> None:
    class Probabilities(Decoder):
        def forward(self, tokens: Tensor) -> Tensor:
            logits = super().forward(tokens)
            return logits if self.training else logits.softmax(-1)

    diagnosis = at.diagnose(Probabilities(), rows(11, 11)[0])
    assert [one.check for one in diagnosis.findings if one.severity != "note"] == ["train-eval-differ"]
