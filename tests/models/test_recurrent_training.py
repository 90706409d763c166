"""What training relies on: logits, gradients, dropout only in training mode."""

import copy

import pytest
import torch
from small_models import ATTENTIVE, LOOPED, VARIANTS, assert_same, build, draw_sentences

from attentio.layers import readout, recurrence
from attentio.layers.deferred import DeferredWeight

EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS, ids=str)
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


class PlainProduct(DeferredWeight):
    """What a deferred weight stands for."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, inputs):
        return inputs @ self.weight.T


@CELLS
@pytest.mark.parametrize("variant", LOOPED, ids=str)
def test_gradients_of_a_loop_are_those_of_plain_products(seed, monkeypatch, variant, cell):
    model, sentences = build(variant, cell=cell, layers=(1, 2)), draw_sentences()

    def gradients():
        logits = model(*sentences)
        return torch.autograd.grad(logits.log_softmax(2).square().sum(), list(model.parameters()))

    deferred = gradients()
    monkeypatch.setattr(recurrence, "DeferredWeight", PlainProduct)
    monkeypatch.setattr(readout, "DeferredWeight", PlainProduct)
    for mine, plain in zip(deferred, gradients(), strict=True):
        assert_same(mine, plain)


@EVERY_VARIANT
def test_every_parameter_is_learnt(seed, variant):
    model, sentences = build(variant, layers=(2, 2)), draw_sentences()
    model(*sentences).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@EVERY_VARIANT
def test_models_return_logits_not_probabilities(seed, variant):
    """A constant added to the output layer's bias arrives: no softmax, nor its logarithm, has swallowed it."""
    model, sentences = build(variant), draw_sentences()
    with torch.no_grad():
        forced, state = model(*sentences), model.start(model.encode(sentences.source, sentences.lengths))
        stepped = model.step(sentences.target[:, :1], state).logits
        model.output.bias += 3.0
        assert_same(model(*sentences), forced + 3.0)
        assert_same(model.step(sentences.target[:, :1], state).logits, stepped + 3.0)


@EVERY_VARIANT
def test_dropout_acts_in_training_mode_only(seed, variant):
    model, sentences = build(variant, layers=(2, 2), dropout=0.3), draw_sentences()
    without = build(variant, layers=(2, 2))
    without.load_state_dict(copy.deepcopy(model.state_dict()))
    with torch.no_grad():
        assert not torch.equal(model(*sentences), model(*sentences))
        model.eval()
        assert torch.equal(model(*sentences), model(*sentences))
        assert_same(model(*sentences), without(*sentences))


@pytest.mark.parametrize("variant", ATTENTIVE, ids=str)
def test_a_step_in_eval_mode_is_without_dropout(seed, variant):
    model, sentences = build(variant, layers=(1, 2), dropout=0.3).eval(), draw_sentences()
    with torch.no_grad():
        state = model.start(model.encode(sentences.source, sentences.lengths))
        first, again = (model.step(sentences.target[:, :1], state) for _ in range(2))
        assert torch.equal(first.logits, again.logits)
        assert_same(first.logits, model(*sentences)[:, :1])


@CELLS
@EVERY_VARIANT
def test_every_model_trains_in_mixed_precision(seed, variant, cell):
    model, sentences = build(variant, cell=cell, layers=(1, 2)).float(), draw_sentences()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*sentences)
    logits.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters())
