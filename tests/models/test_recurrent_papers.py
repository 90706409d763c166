"""Every recurrent model equals its paper's equations, read one sentence and one step at a time."""

import pytest
import torch
from papers import ByHand, Variant
from small_models import ATTENTIVE, BAHDANAU, LUONG, VARIANTS, assert_same, build, draw_sentences

CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])
LAYERS = pytest.mark.parametrize("layers", [(1, 2), (2, 1)], ids=str)


@LAYERS
@CELLS
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_teacher_forced_logits_follow_the_paper(seed, variant, cell, layers):
    model, sentences = build(variant, cell=cell, layers=layers), draw_sentences()
    with torch.no_grad():
        logits = model(*sentences)
        by_hand = ByHand(model, variant, cell=cell)
        for row, (source, target) in enumerate(sentences.one_by_one()):
            assert_same(logits[row], by_hand.decode(source, target).logits)


@CELLS
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradients_follow_the_paper(seed, variant, cell):
    model, sentences = build(variant, cell=cell, layers=(2, 2)), draw_sentences()
    by_hand = ByHand(model, variant, cell=cell)
    decoded = [by_hand.decode(*sentence).logits for sentence in sentences.one_by_one()]
    logits = model(*sentences)
    weighting = torch.randn_like(logits)
    parameters = list(model.parameters())
    got = torch.autograd.grad((logits * weighting).sum(), parameters)
    expected = torch.autograd.grad((torch.stack(decoded) * weighting).sum(), parameters)
    for mine, papers in zip(got, expected, strict=True):
        assert_same(mine, papers)


@CELLS
@pytest.mark.parametrize("variant", ATTENTIVE, ids=str)
def test_the_weights_of_a_step_are_those_that_produced_its_token(seed, variant, cell):
    """Also where the query is the previous state: row i belongs to token i, not to its neighbour (trap 18)."""
    model, sentences = build(variant, cell=cell), draw_sentences()
    by_hand = ByHand(model, variant, cell=cell)
    with torch.no_grad():
        state = model.start(model.encode(sentences.source, sentences.lengths))
        steps = []
        for t in range(sentences.target.shape[1]):
            steps.append(model.step(sentences.target[:, t : t + 1], state))
            state = steps[-1].state
        weights = torch.cat([step.weights for step in steps], dim=1)
        logits = torch.cat([step.logits for step in steps], dim=1)
        for row, (source, target) in enumerate(sentences.one_by_one()):
            decoded = by_hand.decode(source, target)
            assert_same(logits[row], decoded.logits)
            assert_same(weights[row, :, : len(source)], decoded.weights)
            assert (weights[row, :, len(source) :] == 0).all()


@pytest.mark.parametrize("variant", [BAHDANAU, Variant("delayed"), *LUONG[4::5]], ids=str)
def test_a_trace_has_what_each_step_of_the_paper_computes(seed, variant):
    model, sentences = build(variant, layers=(1, 2)), draw_sentences()
    by_hand, decoder = ByHand(model, variant, cell="lstm"), model.decoder
    with torch.no_grad():
        trace = decoder.trace(model.encode(sentences.source, sentences.lengths), sentences.target)
        assert_same(trace.logits, decoder.output(trace.features))
        assert_same(trace.views.context, trace.weights @ trace.source.values)
        assert_same(trace.views.current[:, :-1], trace.views.previous[:, 1:])
        assert (trace.fed is not None) == variant.input_feeding
        if variant.input_feeding:
            assert_same(trace.fed[:, 1:], trace.features[:, :-1])
        for row, (source, target) in enumerate(sentences.one_by_one()):
            decoded = by_hand.decode(source, target)
            assert_same(trace.logits[row], decoded.logits)
            assert_same(trace.weights[row, :, : len(source)], decoded.weights)
