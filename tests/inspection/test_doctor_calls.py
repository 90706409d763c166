"""The doctor's checks of the attention itself: every mistake of the zoo is found as what it is, and nothing else."""

import copy
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.inspection.doctor import weights_after_dropout
from attentio.inspection.doctor.attentions import Attention, attentions
from attentio.inspection.doctor.by_hand import WrittenOut, following, is_zero_one, scale_of
from attentio.inspection.doctor.diagnosis import Diagnosis, Finding
from attentio.inspection.doctor.examination import diagnose
from attentio.inspection.doctor.patient import Patient

sys.path.append(str(Path(__file__).parent / "zoo"))

import backend_mistakes
import head_mistakes
import mask_mistakes
import softmax_mistakes
from healthy_attention import HEALTHY
from tagger import HEAD_FEATURES, HEADS, WIDTH, Example, Projected, example, sentences

FAMILIES = {
    "fully-masked-rows": mask_mistakes.FULLY_MASKED_ROWS,
    "inverted-polarity": mask_mistakes.INVERTED_POLARITY,
    "float-mask-01": mask_mistakes.FLOAT_MASK_01,
    "nan-from-masked-keys": mask_mistakes.NAN_FROM_MASKED_KEYS,
    "double-softmax": softmax_mistakes.DOUBLE_SOFTMAX,
    "weights-not-normalized": softmax_mistakes.WEIGHTS_NOT_NORMALIZED,
    "weights-after-dropout": softmax_mistakes.WEIGHTS_AFTER_DROPOUT,
    "wrong-scale": softmax_mistakes.WRONG_SCALE,
    "uniform-heads": head_mistakes.UNIFORM_HEADS,
    "one-hot-heads": head_mistakes.ONE_HOT_HEADS,
    "dead-heads": head_mistakes.DEAD_HEADS,
    "attention-sink": head_mistakes.ATTENTION_SINK,
    "backends-disagree": backend_mistakes.BACKENDS_DISAGREE,
}
MISTAKES = [
    pytest.param(check, make, id=f"{check}-{name}") for check, cases in FAMILIES.items() for name, make in cases.items()
]


def examined(made: Example) -> Diagnosis:
    model, inputs, options = made
    return diagnose(model, inputs, **options)


def found(diagnosis: Diagnosis, check: str) -> Finding:
    return next(finding for finding in diagnosis.findings if finding.check == check)


@pytest.mark.parametrize(("check", "make"), MISTAKES)
def test_a_mistake_is_found_as_what_it_is(check: str, make: Callable[[], Example], seed: int) -> None:
    diagnosis = examined(make())
    finding = found(diagnosis, check)
    assert finding.explanation
    assert finding.evidence
    assert finding.cure
    others = [one for one in diagnosis.findings if one.severity == "error" and one.check != check]
    assert not others, f"{others[0]}"


@pytest.mark.parametrize("make", HEALTHY.values(), ids=HEALTHY)
def test_healthy_attention_has_no_findings_but_notes(make: Callable[[], Example], seed: int) -> None:
    diagnosis = examined(make())
    assert diagnosis.healthy
    assert [str(one) for one in diagnosis.findings if one.severity != "note"] == []


def test_the_module_is_named(seed: int) -> None:
    assert found(examined(mask_mistakes.zero_and_one_for_multihead()), "float-mask-01").where == "attention.attend"
    assert found(examined(softmax_mistakes.softmax_twice()), "double-softmax").where == "attention"
    assert found(examined(head_mistakes.a_head_without_values()), "dead-heads").where == "attention"


def test_examining_leaves_the_model_as_it_was(seed: int) -> None:
    model, inputs, _ = head_mistakes.a_head_that_is_not_read()
    model.train()
    before = copy.deepcopy(model.state_dict())
    fused = torch.backends.mha.get_fastpath_enabled()
    state = torch.get_rng_state()
    diagnose(model, inputs)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == fused
    assert torch.equal(torch.get_rng_state(), state)


def test_frozen_models_have_their_dead_heads_found(seed: int) -> None:
    model, inputs, options = head_mistakes.a_head_without_values()
    finding = found(examined((model.requires_grad_(False), inputs, options)), "dead-heads")
    assert "head 0 " in finding.title


def test_evidence_of_a_mask_of_zero_and_one_is_how_much_is_still_seen(seed: int) -> None:
    evidence = found(examined(mask_mistakes.zero_and_one_for_sdpa()), "float-mask-01").evidence
    zero, one = evidence.values()
    assert 0 < zero < one < math.e * zero * 3


def test_evidence_of_a_double_softmax_is_that_it_evens_out(seed: int) -> None:
    before, after, _ = found(
        examined(softmax_mistakes.probabilities_for_cross_entropy()), "double-softmax"
    ).evidence.values()
    assert after < before


def test_numbers_that_only_happen_to_lie_between_0_and_1_are_no_distribution(seed: int) -> None:
    class Rectified(Projected):
        def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
            query, key, value = self.heads(hidden)
            scores = (query @ key.mT / math.sqrt(HEAD_FEATURES)).sigmoid() * 0.99
            return self.join(scores.masked_fill(~real[:, None, None, :], -1e9).softmax(-1) @ value)

    assert "double-softmax" not in {one.check for one in examined(example(Rectified())).findings}


def test_a_sentence_of_padding_may_be_refused(seed: int) -> None:
    class Refuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mask_mistakes.EmptySentenceIsNaN()

        def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
            if not real.any(1).all():
                raise ValueError("an empty sentence")
            return self.inner(hidden, real)

    assert "fully-masked-rows" not in {one.check for one in examined(example(Refuses())).findings}


def test_nan_that_the_example_does_not_hold_is_a_note(seed: int) -> None:
    model, inputs, options = mask_mistakes.nan_behind_the_mask()
    clean = {**inputs, "frames": inputs["frames"].nan_to_num()}
    assert found(examined((model, clean, options)), "nan-from-masked-keys").severity == "note"


def test_a_wrong_result_of_torchs_function_is_seen(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch._C._nn.scaled_dot_product_attention

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = Projected()

        def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
            query, key, value = self.heads.heads(hidden)
            return self.heads.join(F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :]))

    made = example(Shifted())
    assert "backends-disagree" not in {one.check for one in examined(made).findings}
    patient = Patient(made[0], made[1])
    seen: list[Attention] = []
    attentions(patient, seen.append)
    assert torch.allclose(seen[0].weights @ seen[0].value.double(), seen[0].context.double())
    assert right is torch._C._nn.scaled_dot_product_attention


def test_alternatives_that_were_compared_are_told(seed: int) -> None:
    told = examined(HEALTHY["nn.TransformerEncoder"]()).concluded["implementations compared"]
    assert told == "the formula, torch's fused path switched over"
    told = examined(backend_mistakes.eager_without_scale()).concluded["implementations compared"]
    assert told == "the formula, eager in place of sdpa"


def followed(module: Callable[..., Tensor], *arguments: Tensor) -> Iterator[WrittenOut]:
    seen: list[WrittenOut] = []
    with following(nn.Identity(), on_attention=seen.append):
        module(*arguments)
    yield from seen


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_the_scale_is_read_from_scores_however_it_is_applied(scale: float, seed: int) -> None:
    query, key = torch.randn(2, 3, 5, 7, dtype=torch.float64), torch.randn(2, 3, 11, 7, dtype=torch.float64)
    value = torch.randn(2, 3, 11, 13, dtype=torch.float64)
    allowed = torch.rand(5, 11) > 0.3
    allowed[:, 0] = True

    def after(q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT * scale).masked_fill(~allowed, -math.inf)

    def before(q: Tensor, k: Tensor) -> Tensor:
        return torch.einsum("bhqd,bhkd->bhqk", q * scale, k) + torch.where(allowed, 0.0, -1e9)

    def divided_in_place(q: Tensor, k: Tensor) -> Tensor:
        scores = torch.matmul(q / math.sqrt(1 / scale), (k * scale**0.5).transpose(2, 3))
        scores += torch.where(allowed, 0.0, -1e9)
        return scores

    for compare in (after, before, divided_in_place):
        (seen,) = followed(lambda compare=compare: compare(query, key).softmax(-1) @ value)
        assert scale_of(seen.softmaxed) == pytest.approx(scale)
        assert seen.softmaxed.comparison.features == 7


def test_scores_with_a_bias_have_no_one_scale(seed: int) -> None:
    query, key, value = torch.randn(2, 5, 7), torch.randn(2, 11, 7), torch.randn(2, 11, 3)
    bias = torch.randn(5, 11)
    (seen,) = followed(lambda: (query @ key.mT + bias).softmax(-1) @ value)
    assert scale_of(seen.softmaxed) is None


def test_weights_are_followed_to_the_product_with_the_values(seed: int) -> None:
    query, key, value = torch.randn(2, 5, 7), torch.randn(2, 11, 7), torch.randn(2, 11, 3)
    (seen,) = followed(lambda: F.dropout(F.softmax(query @ key.mT, dim=-1), 0.2, False) @ value)
    assert (seen.softmaxed.axis, seen.summed) == (-1, -1)
    (seen,) = followed(lambda: torch.softmax(query @ key.mT, 1) @ value)
    assert (seen.softmaxed.axis, seen.summed) == (-2, -1)
    (seen,) = followed(lambda: torch.einsum(query, [0, 1, 2], key, [0, 3, 2], [0, 1, 3]).softmax(-1) @ value)
    assert seen.softmaxed.comparison.features == 7
    assert not list(followed(lambda: (query @ key.mT).softmax(-1)))


def test_a_mask_of_zero_and_one_is_one_of_both() -> None:
    assert is_zero_one(torch.tensor([[0.0, 1.0]]))
    assert is_zero_one(torch.tensor([[0.0, 1.0, -math.inf]]))
    for other in ([[0.0, 0.0]], [[1.0, 1.0]], [[0.0, -math.inf]], [[0.0, 0.5, 1.0]]):
        assert not is_zero_one(torch.tensor(other))
    assert not is_zero_one(torch.tensor([[False, True]]))


@pytest.mark.parametrize("scale", [1.0, 1 / math.sqrt(WIDTH // 2 + 1)])
def test_an_unusual_scale_without_consequences_is_nobodys_mistake(scale: float, seed: int) -> None:
    made = example(softmax_mistakes.ScaledBy(scale), embedding_scale=0.5)
    assert "wrong-scale" not in {one.check for one in examined(made).findings}


def test_transformers_returns_weights_from_after_dropout(seed: int) -> None:
    """True as of transformers 5: in training, the eager implementation returns what dropout left."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=31,
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_hidden_layers=1,
        intermediate_size=17,
        attn_implementation="eager",
    )
    inputs = {**sentences(), "output_attentions": True}
    findings = list(weights_after_dropout.check(Patient(BertModel(config), inputs)))
    assert [one.severity for one in findings] == ["warning"]
