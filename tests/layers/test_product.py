"""product equals x W^T + b by loops, whichever library multiplies."""

from collections.abc import Callable

import pytest
import torch

from attentio.layers.linear import Linear, linear
from attentio.layers.product import product

BATCH, STEPS, INPUTS, OUTPUTS = 3, 5, 7, 11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("with_bias", [True, False])
def test_product_equals_its_definition(seed: int, dtype: torch.dtype, with_bias: bool) -> None:
    inputs, weight = torch.randn(BATCH, STEPS, INPUTS, dtype=dtype), torch.randn(OUTPUTS, INPUTS, dtype=dtype)
    bias = torch.randn(OUTPUTS, dtype=dtype) if with_bias else None
    found = product(inputs, weight, bias)
    for b, t, o in torch.cartesian_prod(torch.arange(BATCH), torch.arange(STEPS), torch.arange(OUTPUTS)).tolist():
        expected = sum(float(inputs[b, t, i]) * float(weight[o, i]) for i in range(INPUTS))
        expected += float(bias[o]) if bias is not None else 0.0
        assert float(found[b, t, o]) == pytest.approx(expected, abs=1e-5)


def test_transposed_views_are_read_as_they_are(seed: int) -> None:
    inputs, weight = torch.randn(INPUTS, BATCH).T, torch.randn(INPUTS, OUTPUTS).T
    assert torch.allclose(product(inputs, weight).double(), inputs.double() @ weight.double().T, atol=1e-5)


def test_an_empty_batch_gives_an_empty_result() -> None:
    assert product(torch.randn(0, INPUTS), torch.randn(OUTPUTS, INPUTS)).shape == (0, OUTPUTS)


def test_mixed_precision_is_obeyed(seed: int) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(torch.randn(BATCH, INPUTS), torch.randn(OUTPUTS, INPUTS)).dtype == torch.bfloat16


def test_a_gradient_penalty_is_that_of_torch(seed: int) -> None:
    leaves = [torch.randn(*shape, requires_grad=True) for shape in ((BATCH, INPUTS), (OUTPUTS, INPUTS), (OUTPUTS,))]

    def penalty(multiply: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, ...]:
        slopes = torch.autograd.grad(multiply(*leaves).sin().sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(slope.square().sum() for slope in slopes), leaves)

    for mine, theirs in zip(penalty(linear), penalty(torch.nn.functional.linear), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trained", ["inputs", "weight", "bias"])
def test_whatever_is_trained_gets_its_gradient(seed: int, trained: str) -> None:
    parts = {"inputs": torch.randn(2, INPUTS), "weight": torch.randn(3, INPUTS), "bias": torch.randn(3)}
    parts[trained].requires_grad_()
    (found,) = torch.autograd.grad(linear(**parts).square().sum(), parts[trained])
    (expected,) = torch.autograd.grad(torch.nn.functional.linear(*parts.values()).square().sum(), parts[trained])
    torch.testing.assert_close(found, expected)


def test_one_vector_is_a_batch_of_its_own(seed: int) -> None:
    layer, inputs = Linear(INPUTS, 3), torch.randn(INPUTS, requires_grad=True)
    outputs = layer(inputs)
    assert outputs.shape == (3,)
    torch.testing.assert_close(outputs, layer.weight @ inputs + layer.bias)
    outputs[1].backward()
    torch.testing.assert_close(inputs.grad, layer.weight[1])


def test_many_gradients_may_be_asked_for_at_once(seed: int) -> None:
    layer, inputs = Linear(INPUTS, 3), torch.randn(2, INPUTS)
    found = torch.autograd.functional.jacobian(layer, inputs, vectorize=True)
    torch.testing.assert_close(found, torch.autograd.functional.jacobian(layer, inputs))
