"""backends-disagree: the same attention computed in two ways gives two results."""

from collections.abc import Callable

import backend_mistakes
import pytest
import torch
from backend_mistakes import BACKENDS_DISAGREE
from examined import assert_only_found, diagnosed, found
from healthy_attention import HEALTHY
from tagger import Projected, example
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.doctor.patient.facts import Told
from attentio.doctor.patient.learn import learn
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.attentions import Attention, attentions


@pytest.mark.parametrize("mistake", BACKENDS_DISAGREE.values(), ids=BACKENDS_DISAGREE)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "backends-disagree")


def test_torchs_function_gives_what_the_formula_gives(seed: int) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = Projected()

        def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
            query, key, value = self.heads.heads(hidden)
            return self.heads.join(F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :]))

    made = example(Shifted())
    assert not found(diagnosed(made), "backends-disagree")
    subject = Subject(made[0], made[1])
    seen: list[Attention] = []
    attentions(subject, learn(subject, Told()), seen.append)
    assert torch.allclose(seen[0].weights @ seen[0].value.double(), seen[0].context.double())


def test_alternatives_that_were_compared_are_told(seed: int) -> None:
    told = diagnosed(HEALTHY["nn.TransformerEncoder"]()).concluded["implementations compared"]
    assert told == "the formula, torch's fused path switched over"
    told = diagnosed(backend_mistakes.eager_without_scale()).concluded["implementations compared"]
    assert told == "the formula, eager in place of sdpa"
