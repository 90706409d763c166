"""Every Transformer equals its papers' equations, read one sequence, one position and one head at a time."""

import pytest
import torch
from small_models import assert_same, draw_sentences
from small_transformers import (
    QK_NORM,
    SETTINGS,
    VOCABULARY,
    build_causal_lm,
    build_encoder_decoder,
    build_masked_lm,
    draw_setting,
)
from transformer_papers import ByHand

EVERY_SETTING = pytest.mark.parametrize("setting", [*SETTINGS, QK_NORM], ids=str)
DRAWS = pytest.mark.parametrize("draw", range(4))


def assert_same_gradients(model, got, expected):
    """Of the same random combination of the logits, for every parameter."""
    weighting = torch.randn_like(got)
    names, parameters = zip(*model.named_parameters(), strict=True)
    mine = torch.autograd.grad((got * weighting).sum(), parameters)
    papers = torch.autograd.grad((expected * weighting).sum(), parameters)
    for name, a, b in zip(names, mine, papers, strict=True):
        assert a.isfinite().all(), name
        assert_same(a, b)


def check_encoder_decoder(setting, layers):
    model, sentences = build_encoder_decoder(setting, layers=layers), draw_sentences()
    by_hand = ByHand(model, setting)
    pairs = list(sentences.one_by_one())
    expected = torch.stack([by_hand.decode(by_hand.encode(source)[0], target)[0] for source, target in pairs])
    logits = model(*sentences)
    assert_same(logits, expected)
    assert_same_gradients(model, logits, expected)


def check_masked_lm(setting, layers):
    model, (tokens, lengths, _) = build_masked_lm(setting, layers=layers), draw_sentences()
    logits, by_hand = model(tokens, lengths), ByHand(model, setting)
    rows = list(zip(tokens, lengths.tolist(), strict=True))
    expected = torch.cat([by_hand.masked(row[:length].tolist())[0] for row, length in rows])
    got = torch.cat([row[:length] for row, length in zip(logits, lengths.tolist(), strict=True)])
    assert_same(got, expected)
    assert_same_gradients(model, got, expected)


def check_causal_lm(setting, layers):
    model, tokens = build_causal_lm(setting, layers=layers), torch.randint(VOCABULARY, (2, 11))
    logits, by_hand = model(tokens), ByHand(model, setting)
    expected = torch.stack([by_hand.causal(row.tolist())[0] for row in tokens])
    assert_same(logits, expected)
    assert_same_gradients(model, logits, expected)


CHECKS = pytest.mark.parametrize("check", [check_encoder_decoder, check_masked_lm, check_causal_lm])


@CHECKS
@EVERY_SETTING
def test_logits_and_gradients_follow_the_papers(seed, setting, check):
    check(setting, (1, 2) if check is check_encoder_decoder else 2)


@CHECKS
@DRAWS
def test_logits_and_gradients_follow_the_papers_in_any_combination(seed, draw, check):
    check(draw_setting(), (2, 1) if check is check_encoder_decoder else 1)


def draw_packed(documents=((3, 1, 5), (2, 4)), padding=(2, 5)):
    """Rows of documents one after another, then padding: tokens, segments, positions, and the documents."""
    tokens, segments, positions, alone = [], [], [], []
    for lengths, pad in zip(documents, padding, strict=True):
        row = torch.randint(VOCABULARY, (sum(lengths) + pad,))
        tokens.append(row)
        segments.append(torch.tensor([i for i, n in enumerate(lengths) for _ in range(n)] + [-1] * pad))
        positions.append(torch.tensor([p for n in lengths for p in range(n)] + list(range(pad))))
        alone.append(row[: sum(lengths)].split(list(lengths)))
    return torch.stack(tokens), torch.stack(segments), torch.stack(positions), alone


@EVERY_SETTING
def test_packed_documents_follow_the_papers_each_alone(seed, setting):
    model, (tokens, segments, positions, documents) = build_causal_lm(setting), draw_packed()
    by_hand = ByHand(model, setting)
    logits = model(tokens, segments, positions)
    expected = torch.cat([by_hand.causal(document.tolist())[0] for row in documents for document in row])
    got = logits[segments >= 0]
    assert_same(got, expected)
    assert_same_gradients(model, got, expected)


@EVERY_SETTING
def test_the_weights_that_can_be_looked_at_are_those_of_the_papers(seed, setting):
    """All heads of all blocks: the encoder's, the decoder's look at the source, both language models'."""
    sentences = draw_sentences()
    model, masked, causal = build_encoder_decoder(setting), build_masked_lm(setting), build_causal_lm(setting)
    hands = {each: ByHand(each, setting) for each in (model, masked, causal)}
    with torch.no_grad():
        memory = model.encode(sentences.source, sentences.lengths)
        encoder = model.encoder.attention(sentences.source, sentences.lengths)
        decoder = model.decoder.attention(memory, sentences.target)
        looked_masked = masked.attention(sentences.source, sentences.lengths)
        looked_causal = causal.attention(sentences.source)
        for row, (source, target) in enumerate(sentences.one_by_one()):
            n = len(source)
            outputs, own = hands[model].encode(source)
            for block, expected in zip(encoder, own, strict=True):
                assert_same(block.own[row, :, :n, :n], expected)
                assert (block.own[row, :, :n, n:] == 0).all()
            for block, expected in zip(decoder, hands[model].decode(outputs, target)[1], strict=True):
                assert_same(block.cross[row, ..., :n], expected)
                assert (block.cross[row, ..., n:] == 0).all()
            for block, expected in zip(looked_masked, hands[masked].masked(source)[1], strict=True):
                assert_same(block.own[row, :, :n, :n], expected)
            for block, expected in zip(looked_causal, hands[causal].causal(source)[1], strict=True):
                assert_same(block.own[row, :, :n, :n], expected)


@EVERY_SETTING
def test_the_weights_of_a_step_are_those_that_produced_its_token(seed, setting):
    """The last block's look at the source, the mean over its heads; row i belongs to token i (trap 18)."""
    model, sentences = build_encoder_decoder(setting), draw_sentences()
    by_hand = ByHand(model, setting)
    with torch.no_grad():
        state, steps = model.start(model.encode(sentences.source, sentences.lengths)), []
        for token in sentences.target.split(1, dim=1):
            steps.append(model.step(token, state))
            state = steps[-1].state
        weights = torch.cat([step.weights for step in steps], dim=1)
        for row, (source, target) in enumerate(sentences.one_by_one()):
            expected = by_hand.decode(by_hand.encode(source)[0], target)[1][-1].mean(dim=0)
            assert_same(weights[row, :, : len(source)], expected)
            assert (weights[row, :, len(source) :] == 0).all()
