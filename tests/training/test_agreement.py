"""R-Drop against its formula, written with autograd in float64."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from attentio.config.schema import ModelConfig
from attentio.data.batches import IGNORE_INDEX
from attentio.models.presets import recurrent_encoder, transducer
from attentio.text.tokenizer import PAD
from attentio.training import agreement, linear_loss
from attentio.training.agreement import agreeing_cross_entropy
from attentio.training.cross_entropy import linear_cross_entropy
from attentio.training.distillation import Teaching
from attentio.training.loss import Objective

POSITIONS, FEATURES, VOCABULARY = 13, 5, 7


def both_ways(log_p: Tensor, log_q: Tensor) -> Tensor:
    return functional.kl_div(log_q, log_p, reduction="sum", log_target=True) + functional.kl_div(
        log_p, log_q, reduction="sum", log_target=True
    )


@pytest.mark.parametrize("rows", [2, 6, 512])
def test_the_loss_and_its_gradients_are_those_of_the_formula(
    seed: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (agreement, linear_loss):
        monkeypatch.setattr(each, "ROWS_AT_A_TIME", rows)
    inputs = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((POSITIONS, FEATURES), (POSITIONS, FEATURES), (VOCABULARY, FEATURES), (VOCABULARY,))
    ]
    one, other, weight, bias = inputs
    target = torch.tensor(random.Random(seed).choices([v for v in range(VOCABULARY) if v != PAD], k=POSITIONS))
    log_p, log_q = (functional.linear(each, weight, bias).log_softmax(1) for each in (one, other))
    smoothed = sum(
        linear_cross_entropy(each, weight, bias, target, label_smoothing=0.1, never=PAD) for each in (one, other)
    )
    expected = smoothed / 2 + 3.0 / 4 * both_ways(log_p, log_q)
    got = agreeing_cross_entropy(*inputs, target, label_smoothing=0.1, never=PAD, r_drop=3.0)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, inputs), torch.autograd.grad(expected, inputs))


def test_mixed_precision_rounds_what_is_multiplied_and_no_sum(seed: int) -> None:
    inputs = [torch.randn(shape) / 8 for shape in ((300, 8), (300, 8), (500, 8), (500,))]
    target = torch.randint(1, 500, (300,))
    how = {"label_smoothing": 0.1, "never": PAD, "r_drop": 3.0}
    with torch.autocast("cpu", torch.bfloat16):
        got = agreeing_cross_entropy(*inputs, target, **how)
    *rounded, bias = inputs
    exact = agreeing_cross_entropy(*(each.bfloat16().double() for each in rounded), bias.double(), target, **how)
    # A logit is rounded too, by 1/256 of itself at most, and the distances are small differences.
    assert got.item() == pytest.approx(exact.item(), rel=1e-4)


class Scores(nn.Module):
    """Features with dropout, and an output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.drop, self.output = nn.Linear(3, 5), nn.Dropout(0.5), nn.Linear(5, VOCABULARY)

    def features(self, inputs: Tensor) -> Tensor:
        return self.drop(self.inner(inputs))


def test_two_passes_differ_by_their_dropout_and_weigh_as_much_as_one(seed: int) -> None:
    model, inputs, labels = Scores(), torch.randn(4, 6, 3), torch.randint(1, VOCABULARY, (4, 6))
    labels[1, 2:] = IGNORE_INDEX
    torch.manual_seed(seed)
    loss = Objective(model, label_smoothing=0.1, never=PAD, r_drop=2.0)(labels, inputs)
    torch.manual_seed(seed)
    asked = labels != IGNORE_INDEX
    one, other = (each[asked] for each in model.features(torch.cat([inputs, inputs])).chunk(2))
    assert not torch.equal(one, other)
    layer = model.output.weight, model.output.bias
    expected = agreeing_cross_entropy(one, other, *layer, labels[asked], label_smoothing=0.1, never=PAD, r_drop=2.0)
    torch.testing.assert_close(loss, expected)
    model.eval()  # no dropout: what is left is the loss of one pass
    once = Objective(model, label_smoothing=0.1, never=PAD)(labels, inputs)
    torch.testing.assert_close(
        Objective(model, label_smoothing=0.1, never=PAD, r_drop=2.0)(labels, inputs), once, rtol=1e-4, atol=1e-4
    )


def tiny_transducer(dropout: float) -> nn.Module:
    config = ModelConfig(attention="transducer", embedding=5, hidden=7, encoder_hidden=3, dropout=dropout)
    encoder = recurrent_encoder(config, vocabulary=9)
    return transducer(config, encoder, vocabulary=VOCABULARY, copies=torch.full((9,), -1), end=2).double()


@pytest.mark.parametrize("r_drop", [0.0, 1.5])
def test_a_transducer_learns_from_probabilities_and_from_agreement(seed: int, r_drop: float) -> None:
    """What it says of every token is compared, at each label."""
    student, teacher = tiny_transducer(0.4), tiny_transducer(0.0)
    source, lengths = torch.randint(4, 9, (2, 5)), torch.tensor([5, 5])
    target, labels = torch.tensor([[1, 4, 5, 6], [1, 5, 4, 4]]), torch.tensor([[4, 5, 6, 2], [5, 4, 4, 2]])
    inputs, weight = (source, lengths, target), 0.3
    objective = Objective(
        student, label_smoothing=0.0, never=PAD, r_drop=r_drop, teaching=Teaching([teacher], weight=weight)
    )
    torch.manual_seed(seed)
    loss = objective(labels, *inputs)
    loss.backward()
    found = [parameter.grad.clone() for parameter in student.parameters() if parameter.grad is not None]
    student.zero_grad()
    torch.manual_seed(seed)
    passes = student(*(torch.cat([each, each]) for each in inputs)).chunk(2) if r_drop else (student(*inputs),)
    said = -sum(one.gather(2, labels.unsqueeze(2)).sum() for one in passes) / len(passes)
    apart = both_ways(*passes) if r_drop else 0.0
    with torch.no_grad():
        theirs = teacher(*inputs).log_softmax(2)
    expected = (1 - weight) * (said + r_drop / 4 * apart)
    expected = expected + weight * (theirs.exp() * (theirs - passes[0])).sum()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, [each.grad for each in student.parameters() if each.grad is not None])


def test_r_drop_where_it_does_nothing_is_refused(attentio: Callable, tmp_path: Path) -> None:
    for words, why in ((["--model.dropout", "0"], "models with dropout"), (["--model.copy", "true"], "model.copy")):
        options = ["--run", tmp_path / "run", "--text.target.tokenizer", "char", *words]
        said = attentio("train", "luong", "--training.r_drop", "5", *options)
        assert (said.code, why in said.err) == (2, True), said.err
    assert not (tmp_path / "run").exists()
