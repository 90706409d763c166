"""The engine for short sequences: what it makes in pieces, and when it is chosen."""

import pytest
import torch
from attention_oracle import inputs

import attentio as at

MASKS = {
    "none": lambda: None,
    "causal": at.causal,
    "by sequence": lambda: at.padding(torch.tensor([7, 3, 5, 1, 6])),
    "by sequence and head": lambda: at.keep((torch.rand(5, 3, 5, 7) < 0.6) | (torch.arange(7) == 0)),
    "empty rows": lambda: at.padding(torch.tensor([7, 0, 5, 1, 6])),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bias", [None, (5, 7), (5, 3, 5, 7), (5, 1, 1, 7)])
def test_sequences_in_pieces_give_what_they_give_at_once(seed, monkeypatch, mask, bias):
    query, key, value = (torch.cat([t, t + 1, t[:1] * 2]) for t in inputs(q=5, k=7))
    arguments = {"mask": MASKS[mask](), "bias": None if bias is None else torch.randn(bias)}
    monkeypatch.setattr("attentio.attention.engines.short._AT_ONCE", 2 * 3 * 5 * 7)  # two of the five
    in_pieces = at.attend(query, key, value, **arguments, engine="short").context
    torch.testing.assert_close(in_pieces, at.attend(query, key, value, **arguments, engine="reference").context)


def test_gradients_of_weights_and_context_come_together(seed):
    tensors = inputs(q=5, k=7, dtype=torch.float64, grad=True)
    bias = torch.randn(3, 1, 7, dtype=torch.float64, requires_grad=True)

    def both(query, key, value, bias):
        return tuple(at.attend(query, key, value, mask=at.causal(), bias=bias, need_weights=True, engine="short"))

    assert torch.autograd.gradcheck(both, (*tensors, bias))


@pytest.mark.parametrize("engine", ["short", "blocks"])
def test_a_backward_pass_under_autocast_is_not_rounded(seed, engine):
    tensors, how = inputs(q=40, k=40, grad=True), {"mask": at.window(3, 0), "engine": engine}
    expected = torch.autograd.grad(at.attend(*tensors, **how).context.square().sum(), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(at.attend(*tensors, **how).context.square().sum(), tensors)
    torch.testing.assert_close(found, expected)


def test_a_frozen_bias_may_be_changed_after_the_forward_pass(seed):
    tensors, bias = inputs(q=5, k=7, grad=True), torch.randn(5, 7)
    expected = torch.autograd.grad(at.attend(*tensors, bias=bias, engine="short").context.sum(), tensors)
    context = at.attend(*tensors, bias=bias, engine="short").context
    bias.zero_()
    torch.testing.assert_close(torch.autograd.grad(context.sum(), tensors), expected)


def test_it_is_chosen_where_it_is_faster():
    assert at.explain(*inputs(q=13, k=13)).engine == "short"
    assert at.explain(*inputs(q=1, k=13)).engine == "sdpa"
    assert at.explain(*inputs(q=131, k=131)).engine == "sdpa"
    assert at.explain(*inputs(q=131, k=131), need_weights=True).engine == "short"
