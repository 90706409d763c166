"""lost-gradient: parameters that decide the outputs get no gradient."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, errors, found
from sequence_models import Decoder, rows
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from unused_mistakes import LOST_GRADIENT

import attentio as at


@pytest.mark.parametrize("mistake", LOST_GRADIENT.values(), ids=LOST_GRADIENT)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "lost-gradient")


def test_frozen_parameters_are_meant_to_get_none(seed: int) -> None:
    model, inputs, _ = LOST_GRADIENT["no-grad"]()
    model.encoder.requires_grad_(False)
    model.source_reader.requires_grad_(False)
    assert not found(at.diagnose(model, inputs), "lost-gradient")


def test_a_use_beside_others_that_is_cut_is_a_warning(seed: int) -> None:
    class Twice(Decoder):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(24, 24, bias=False)

        def forward(self, tokens: Tensor) -> Tensor:
            hidden = self.mix(self.reader(tokens))
            return self.read_out(self.blocks[0](hidden, self.mask(tokens.shape[1])) @ self.mix.weight.detach())

    findings = found(at.diagnose(Twice(), rows(11, 11)[0]), "lost-gradient")
    assert [(one.severity, one.evidence["parameters"]) for one in findings] == [("warning", ["mix.weight"])]


def test_words_that_learn_only_where_they_are_read_are_found(seed: int) -> None:
    class Tied(Decoder):
        def forward(self, tokens: Tensor) -> Tensor:
            hidden = self.blocks[0](self.reader(tokens), self.mask(tokens.shape[1]))
            return hidden @ self.reader.tokens.weight.detach().T

    (finding,) = found(at.diagnose(Tied(), rows(11, 11)[0]), "lost-gradient")
    assert (finding.severity, finding.evidence["parameters"]) == ("error", ["reader.tokens.weight"])


@pytest.mark.parametrize("detached", [True, False])
def test_activations_that_are_computed_again_do_not_hide_it(detached: bool, seed: int) -> None:
    class Checkpointed(Decoder):
        def forward(self, tokens: Tensor) -> Tensor:
            hidden = self.reader(tokens)
            for block in self.blocks:
                hidden = checkpoint(self.run, block, hidden, use_reentrant=False)
            return self.read_out(hidden)

        def run(self, block: nn.Module, hidden: Tensor) -> Tensor:
            normed = F.layer_norm(hidden.float(), hidden.shape[-1:]).to(hidden.dtype)  # in 32 bits, as Llama's
            return block(normed, self.mask(hidden.shape[1]))

    model = Checkpointed()
    if detached:
        model.blocks[1].query.register_forward_hook(lambda module, given, result: result.detach())
    diagnosis = at.diagnose(model, rows(11, 11)[0])
    assert {"lost-gradient", "unused-parameters"} <= {*diagnosis.checked}, str(diagnosis)
    assert errors(diagnosis) == ["lost-gradient"] * detached
