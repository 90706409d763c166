"""What is not finite, or too large for 16 bits, comes out the same whichever engine runs and whatever is asked for."""

import math

import pytest
import torch
from attention_oracle import attend_by_hand, engines_for, inputs

import attentio as at

MASKS = {"none": None, "causal": at.causal(), "padding": at.padding([1, 1])}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("k", [1, 2, 3, 7, 15, 16, 17])
@pytest.mark.parametrize("poisoned", ["query", "key"])  # torch's own kernel needs values of as many features
def test_a_query_whose_scores_are_all_nan_gets_nan(seed, poisoned, k, mask, dtype):
    tensors = dict(zip(("query", "key", "value"), inputs(k=k, q=k, dv=11, dtype=dtype), strict=True))
    tensors[poisoned][1, 2] = math.nan
    for engine in [*engines_for(**tensors, mask=MASKS[mask]), None]:
        context = at.attend(**tensors, mask=MASKS[mask], engine=engine).context
        assert context[1, 2].isnan().all(), engine
        assert context[1, :2].isfinite().all()
        assert context[0].isfinite().all()


@pytest.mark.parametrize("k", [3, 17])
def test_nan_in_a_bias_comes_out(seed, k):
    tensors, bias = inputs(k=k, dv=11), torch.zeros(5, k)
    bias[2] = math.nan
    for engine in [*engines_for(*tensors, bias=bias), None]:
        context = at.attend(*tensors, bias=bias, engine=engine).context
        assert context[:, :, 2].isnan().all(), engine
        assert context[:, :, :2].isfinite().all()


@pytest.mark.parametrize("scale", [math.nan, math.inf, "1"])
def test_a_scale_that_is_no_finite_number_is_refused(as_installed, scale):
    with pytest.raises(ValueError, match="scale must be a finite number, or a tensor of one; got"):
        at.ScaledDot(scale)


@pytest.mark.parametrize("trained", ["score", "bias", "value"])
def test_nan_in_a_masked_key_reaches_no_gradient_of_what_is_trained_beside_frozen_keys(seed, trained):
    query, key, value = inputs(d=4, dv=4)
    key[0, :, -1] = math.nan
    weight, bias = torch.randn(4, 4), torch.randn(5, 7)
    one = {"score": weight, "bias": bias, "value": value}[trained].requires_grad_()
    found = at.attend(
        query, key, value, score=lambda q, k: (q @ weight) @ k.mT, bias=bias, mask=at.padding([6, 7])
    ).context
    (gradient,) = torch.autograd.grad(found.square().sum(), one)
    assert found.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient.count_nonzero()


@pytest.mark.parametrize("normalize", [None, at.Sparsemax(), at.Entmax(1.3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_compared_in_32_whether_or_not_weights_are_wanted(seed, dtype, normalize):
    query, key, value = ((t * factor).to(dtype) for t, factor in zip(inputs(d=67), (30, 1, 1), strict=True))
    exact = at.attend(query.double(), key.double(), value.double(), normalize=normalize, need_weights=True)
    for need_weights in (False, True):
        found = at.attend(query, key, value, normalize=normalize, need_weights=need_weights)
        torch.testing.assert_close(found.context.double(), exact.context, rtol=0, atol=0.02)
    assert found.weights.dtype == dtype
    torch.testing.assert_close(found.weights.double(), exact.weights, rtol=0, atol=0.005)


def test_products_too_large_for_float16_are_none_for_the_weights():
    query, key, value = torch.full((1, 1, 64), 100.0), torch.full((1, 4, 64), 100.0), torch.ones(1, 4, 64)
    found = at.attend(query.half(), key.half(), value.half(), need_weights=True)
    assert found.weights.unique().tolist() == [0.25]
    assert found.context.unique().tolist() == [1.0]


def test_few_tanh_of_16_bits_are_summed_in_32(seed):
    query, key, value = (t.bfloat16() for t in inputs(heads=None, k=5, d=131))
    vector = torch.randn(131)
    by_hand, _ = attend_by_hand(
        query,
        key,
        value,
        compare=lambda q, k, j: sum(w * math.tanh(a + b) for w, a, b in zip(vector.tolist(), q, k, strict=True)),
    )
    found = at.attend(query, key, value, score=at.Additive(vector)).context
    torch.testing.assert_close(found.double(), by_hand, rtol=0.01, atol=0.003)
