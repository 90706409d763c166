"""The loss against a loop written from its formula, in float64."""

import math
import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from attentio.training import linear_loss as module
from attentio.training.cross_entropy import linear_cross_entropy

POSITIONS, FEATURES, VOCABULARY, PAD = 13, 5, 7, 2


@pytest.fixture
def parts(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, weight, bias, and targets that are never the padding."""
    features, weight, bias = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((POSITIONS, FEATURES), (VOCABULARY, FEATURES), (VOCABULARY,))
    )
    possible = [token for token in range(VOCABULARY) if token != PAD]
    target = torch.tensor(random.Random(seed).choices(possible, k=POSITIONS))
    return features, weight, bias, target


def wanted_distribution(target: int, smoothing: float) -> list[float]:
    spread = [0.0 if token == PAD else smoothing / (VOCABULARY - 1) for token in range(VOCABULARY)]
    spread[target] += 1 - smoothing
    return spread


def by_hand(features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """The formula with autograd: sum over positions and tokens of -wanted * log p."""
    total = torch.zeros((), dtype=torch.float64)
    for vector, token in zip(features, target.tolist(), strict=True):
        logits = [torch.dot(row, vector) + bias[v] for v, row in enumerate(weight)]
        log_total = torch.log(sum(torch.exp(logit) for logit in logits))  # type: ignore[arg-type]
        for wanted, logit in zip(wanted_distribution(token, smoothing), logits, strict=True):
            total = total - wanted * (logit - log_total)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("rows", [1, 4, 13, 1024])
def test_the_loss_and_its_gradients_are_those_of_the_formula_whatever_the_blocks(
    parts: tuple[Tensor, ...], smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_A_TIME", rows)
    *inputs, target = parts
    expected = by_hand(*inputs, target, smoothing)
    wanted = torch.autograd.grad(expected, inputs)
    got = linear_cross_entropy(*inputs, target, label_smoothing=smoothing, never=PAD)
    torch.testing.assert_close(got, expected)
    for name, ours, theirs in zip(
        ("features", "weight", "bias"), torch.autograd.grad(3 * got, inputs), wanted, strict=True
    ):
        torch.testing.assert_close(ours, 3 * theirs, msg=lambda text, name=name: f"{name}: {text}")


def test_label_smoothing_gives_no_mass_to_padding(parts: tuple[Tensor, ...]) -> None:
    """At the best possible features the distribution is the wanted one, and padding's probability is not in it."""
    _, _, _, target = parts
    smoothing = 0.3
    wanted = torch.tensor([wanted_distribution(token, smoothing) for token in target.tolist()], dtype=torch.float64)
    assert not wanted[:, PAD].any()
    logits = wanted.clamp(min=1e-30).log().requires_grad_()
    eye, zero = torch.eye(VOCABULARY, dtype=torch.float64), torch.zeros(VOCABULARY, dtype=torch.float64)
    got = linear_cross_entropy(logits, eye, zero, target, label_smoothing=smoothing, never=PAD)
    entropy = -(wanted * wanted.clamp(min=1e-30).log()).sum()
    torch.testing.assert_close(got, entropy)
    (gradient,) = torch.autograd.grad(got, logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_without_smoothing_it_is_the_usual_cross_entropy(parts: tuple[Tensor, ...]) -> None:
    features, weight, bias, target = parts
    expected = functional.cross_entropy(functional.linear(features, weight, bias), target, reduction="sum")
    torch.testing.assert_close(linear_cross_entropy(features, weight, bias, target, never=PAD), expected)


@pytest.mark.parametrize("with_bias", [True, False])
def test_mixed_precision_rounds_what_is_multiplied_and_no_sum(seed: int, with_bias: bool) -> None:
    """As the exact loss of the rounded features and weights; logits of hundreds of near tokens are summed exactly."""
    shapes = (300, 8), (500, 8), (500,)
    features, weight, bias = ((torch.randn(shape) / 8).requires_grad_() for shape in shapes)
    inputs, target = (features, weight, bias)[: 2 + with_bias], torch.randint(1, 500, (300,))

    def loss(*inputs: Tensor) -> Tensor:
        features, weight, *bias = inputs
        return linear_cross_entropy(features, weight, bias[0] if bias else None, target, label_smoothing=0.1, never=0)

    with torch.autocast("cpu", torch.bfloat16):
        got = loss(*inputs)
    exact = [(each.bfloat16() if each is not bias else each).detach().double().requires_grad_() for each in inputs]
    wanted = loss(*exact)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(wanted.item(), rel=1e-4)
    gradients = torch.autograd.grad(got, inputs), torch.autograd.grad(wanted, exact)
    assert not torch.equal(gradients[0][0], torch.autograd.grad(loss(*inputs), inputs)[0]), "nothing was rounded"
    for mine, theirs in zip(*gradients, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), theirs, rtol=0.01, atol=0.01 * float(theirs.abs().max()))


def test_what_is_reckoned_from_logits_is_in_full_precision(seed: int) -> None:
    """R-Drop's dot products too, which autocast would round."""
    found = []

    def of_logits(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        found.append(torch.linalg.vecdot(logits, logits).dtype)
        return logits.sum(), torch.ones_like(logits)

    with torch.autocast("cpu", torch.bfloat16):
        module.linear_loss(torch.randn(3, 5), torch.randn(7, 5), None, of_logits)
    assert found == [torch.float32]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_numerical_derivatives_agree(parts: tuple[Tensor, ...], smoothing: float) -> None:
    *inputs, target = parts

    def loss(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear_cross_entropy(features, weight, bias, target, label_smoothing=smoothing, never=PAD)

    assert torch.autograd.gradcheck(loss, inputs)


def test_a_second_derivative_is_an_error(parts: tuple[Tensor, ...]) -> None:
    features, weight, bias, target = parts
    loss = linear_cross_entropy(features, weight, bias, target, never=PAD)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, features, create_graph=True)


def test_huge_logits_stay_finite() -> None:
    features = torch.tensor([[1000.0], [-1000.0]], requires_grad=True)
    weight, bias = torch.tensor([[1.0], [-1.0], [0.0]]), torch.zeros(3)
    loss = linear_cross_entropy(features, weight, bias, torch.tensor([1, 1]), label_smoothing=0.1, never=2)
    loss.backward()
    assert math.isfinite(loss.item())
    assert features.grad is not None
    assert features.grad.isfinite().all()
