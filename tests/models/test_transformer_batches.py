"""What else is in the batch, padding, other sentences and other documents, changes nothing; nor does the future."""

import dataclasses

import pytest
import torch
from small_models import SOURCE, assert_same, draw_sentences
from small_transformers import (
    SETTINGS,
    TARGET_VOCABULARY,
    VOCABULARY,
    build_causal_lm,
    build_encoder_decoder,
    build_masked_lm,
    configured,
    drawn,
)
from transformer_papers import Setting

from attentio.models.transformer_presets import causal_lm

EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS, ids=str)
UNTIED = [dataclasses.replace(setting, tied=False) for setting in SETTINGS]


@EVERY_SETTING
def test_padding_and_other_sentences_change_no_translation(seed, setting):
    model, (source, lengths, target) = build_encoder_decoder(setting), draw_sentences()
    logits = model(source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        alone = model(source[row : row + 1, :length], lengths[row : row + 1], target[row : row + 1])
        assert_same(logits[row], alone[0])
    wider = torch.cat([source, torch.randint(VOCABULARY, (3, 13))], dim=1)
    assert_same(model(wider, lengths, target), logits)
    order = torch.randperm(3)
    assert_same(model(source[order], lengths[order], target[order]), logits[order])


@EVERY_SETTING
def test_padding_and_other_texts_change_no_masked_language_model(seed, setting):
    model, (tokens, lengths, _) = build_masked_lm(setting), draw_sentences()
    logits = model(tokens, lengths)
    wider = model(torch.cat([tokens, torch.randint(VOCABULARY, (3, 13))], dim=1), lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(tokens[row : row + 1, :length], lengths[row : row + 1])
        assert_same(logits[row, :length], alone[0])
        assert_same(wider[row, :length], alone[0])


@EVERY_SETTING
def test_padding_and_other_documents_change_no_causal_language_model(seed, setting):
    """One document a row, padded on the right; and the same documents in one row, in two orders."""
    model, (tokens, lengths, _) = build_causal_lm(setting), draw_sentences()
    documents = [row[:length] for row, length in zip(tokens, lengths.tolist(), strict=True)]
    alone = [model(document.unsqueeze(0))[0] for document in documents]
    padded = model(tokens)
    for row, expected in enumerate(alone):
        assert_same(padded[row, : len(expected)], expected)
    for order in ([0, 1, 2], [2, 0, 1]):
        row = torch.cat([documents[i] for i in order]).unsqueeze(0)
        counts = torch.tensor([len(documents[i]) for i in order])
        segments = torch.repeat_interleave(torch.tensor([5, 2, 3]), counts).unsqueeze(0)
        positions = torch.cat([torch.arange(n) for n in counts.tolist()]).unsqueeze(0)
        assert_same(model(row, segments, positions)[0], torch.cat([alone[i] for i in order]))


@EVERY_SETTING
def test_what_stands_at_padding_gets_no_gradient_and_changes_no_other(seed, setting):
    model, (source, lengths, target) = build_encoder_decoder(setting), draw_sentences()
    padding = torch.arange(SOURCE) >= lengths.unsqueeze(1)
    gradients = []
    for filler in (0, 1):
        tokens = source.clamp(min=2).masked_fill(padding, filler)
        gradients.append(torch.autograd.grad(model(tokens, lengths, target).square().sum(), list(model.parameters())))
        assert (gradients[-1][0][:2] == 0).all()  # the source embeddings of the two fillers
    for first, second in zip(*gradients, strict=True):
        assert_same(first, second)


@EVERY_SETTING
def test_memory_is_zero_at_padding_and_its_summary_that_of_the_sentence_alone(seed, setting):
    model, (source, lengths, _) = build_encoder_decoder(setting), draw_sentences()
    memory = model.encode(source, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model.encode(source[row : row + 1, :length], lengths[row : row + 1])
        assert (memory.outputs[row, length:] == 0).all()
        assert_same(memory.summary[row], alone.summary[0])


@pytest.mark.parametrize("setting", UNTIED, ids=str)
def test_nan_at_padding_reaches_no_real_position(seed, setting):
    """The embedding of the padding token is NaN; nothing that is read of the model is (trap 5)."""
    sentences = draw_sentences()
    source, lengths, target = sentences.source.clamp(min=1), sentences.lengths, sentences.target
    real = torch.arange(SOURCE) < lengths.unsqueeze(1)
    model, masked, causal = build_encoder_decoder(setting), build_masked_lm(setting), build_causal_lm(setting)
    segments = torch.where(real, 0, -1)
    positions = torch.arange(SOURCE).expand(3, SOURCE)
    with torch.no_grad():
        before = (
            model(source, lengths, target),
            masked(source, lengths)[real],
            causal(source, segments, positions)[real],
        )
        for tokens in (model.encoder.embedding.tokens, masked.embedding.tokens, causal.embedding.tokens):
            tokens.weight[0] = float("nan")
        source = source.masked_fill(~real, 0)
        after = (
            model(source, lengths, target),
            masked(source, lengths)[real],
            causal(source, segments, positions)[real],
        )
        memory = model.encode(source, lengths)
    for was, now in zip(before, after, strict=True):
        assert_same(now, was)
    assert (memory.outputs[~real] == 0).all()
    assert memory.summary.isfinite().all()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_row_with_nothing_to_attend_to_stays_finite(seed, setting):
    """A row of padding only, in every model, forward and backward; the others do not notice (trap 4)."""
    model, masked, causal = build_encoder_decoder(setting), build_masked_lm(setting), build_causal_lm(setting)
    source, lengths, target = draw_sentences()
    nothing = lengths.index_fill(0, torch.tensor([1]), 0)
    with_row, without = model(source, nothing, target), model(source, lengths, target)
    assert_same(with_row[[0, 2]], without[[0, 2]])
    real = torch.arange(SOURCE) < nothing.unsqueeze(1)
    positions = torch.arange(SOURCE).expand(3, SOURCE)
    everything = [
        with_row,
        masked(source, nothing),
        causal(source, torch.where(real, 0, -1), positions),
    ]
    for outputs, module in zip(everything, (model, masked, causal), strict=True):
        assert outputs.isfinite().all()
        gradients = torch.autograd.grad(outputs.square().sum(), list(module.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


@EVERY_SETTING
def test_later_tokens_do_not_change_earlier_logits(seed, setting):
    model, causal, (source, lengths, target) = (
        build_encoder_decoder(setting),
        build_causal_lm(setting),
        draw_sentences(),
    )
    changed = torch.cat([target[:, :2], torch.randint(TARGET_VOCABULARY, (3, 7))], dim=1)
    assert_same(model(source, lengths, changed)[:, :2], model(source, lengths, target)[:, :2])
    changed = torch.cat([source[:, :4], torch.randint(VOCABULARY, (3, 9))], dim=1)
    assert_same(causal(changed)[:, :4], causal(source)[:, :4])


def reach(model, tokens, *arguments):
    """[position, token]: whether the features of a position depend on that token's embedding."""
    seen = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    features = model.features(tokens.unsqueeze(0), *arguments)[0]
    for i, feature in enumerate(features):
        (gradient,) = torch.autograd.grad(feature.square().sum(), model.embedding.tokens.weight, retain_graph=True)
        seen[i] = gradient[tokens].any(dim=1)
    return seen


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi", "t5", "none"])
@pytest.mark.parametrize("window", [None, 0, 1, 3])
def test_a_position_sees_its_window_the_past_and_nothing_else(seed, positions, window):
    """One layer, each token another: every token within the window is seen, none beyond it (traps 6 and 7)."""
    setting, n = Setting(positions=positions, window=window, tied=False), 11
    tokens = torch.randperm(VOCABULARY)[:n]
    apart = torch.arange(n).unsqueeze(1) - torch.arange(n)  # how far back of each position each token is
    near = apart.abs() <= (n if window is None else window)
    causal, masked = build_causal_lm(setting, layers=1), build_masked_lm(setting, layers=1)
    assert torch.equal(reach(causal, tokens), near & (apart >= 0))
    assert torch.equal(reach(masked, tokens, torch.tensor([n])), near)
    segments = torch.tensor([0] * 4 + [1] * 7).unsqueeze(0)
    restarted = torch.cat([torch.arange(4), torch.arange(7)]).unsqueeze(0)
    together = segments.mT == segments
    assert torch.equal(reach(causal, tokens, segments, restarted), near & (apart >= 0) & together)


def test_more_positions_than_were_learned_is_an_error_that_says_so(seed):
    model = drawn(causal_lm(configured(Setting(positions="learned")), vocabulary=VOCABULARY))
    model(torch.zeros(1, 31, dtype=torch.long))
    with pytest.raises(ValueError, match="31"):
        model(torch.zeros(1, 32, dtype=torch.long))
