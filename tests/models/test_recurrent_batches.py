"""What else is in the batch, padding and other sentences, changes nothing."""

import pytest
import torch
from small_models import SOURCE, SOURCE_VOCABULARY, TARGET_VOCABULARY, VARIANTS, assert_same, build, draw_sentences

EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS, ids=str)


@EVERY_VARIANT
def test_padding_and_other_sentences_change_nothing(seed, variant):
    model, (source, lengths, target) = build(variant, layers=(2, 1)), draw_sentences()
    logits = model(source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        alone = model(source[row : row + 1, :length], lengths[row : row + 1], target[row : row + 1])
        assert_same(logits[row], alone[0])
    wider = torch.cat([source, torch.randint(SOURCE_VOCABULARY, (3, 13))], dim=1)
    assert_same(model(wider, lengths, target), logits)
    order = torch.randperm(3)
    assert_same(model(source[order], lengths[order], target[order]), logits[order])


@EVERY_VARIANT
def test_the_tokens_at_padding_get_no_gradient_and_change_no_other(seed, variant):
    model, (source, lengths, target) = build(variant, layers=(2, 1)), draw_sentences()
    padding = torch.arange(SOURCE) >= lengths.unsqueeze(1)
    gradients = []
    for filler in (0, 1):
        tokens = (source.clamp(min=2)).masked_fill(padding, filler)
        loss = model(tokens, lengths, target).square().sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
        assert (gradients[-1][0][:2] == 0).all()  # the source embeddings of the two fillers
    for first, second in zip(*gradients, strict=True):
        assert_same(first, second)


@EVERY_VARIANT
def test_later_target_tokens_do_not_change_earlier_logits(seed, variant):
    model, (source, lengths, target) = build(variant), draw_sentences()
    logits = model(source, lengths, target)
    changed = torch.cat([target[:, :2], torch.randint(TARGET_VOCABULARY, (3, 5))], dim=1)
    assert_same(model(source, lengths, changed)[:, :2], logits[:, :2])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_backward_encoder_starts_at_each_sentences_own_end(seed, cell):
    """Memory and summary of a padded sentence are those of the sentence alone."""
    model, (source, lengths, _) = build(VARIANTS[0], cell=cell, layers=(2, 1)), draw_sentences()
    memory = model.encode(source, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model.encode(source[row : row + 1, :length], lengths[row : row + 1])
        assert_same(memory.outputs[row, :length], alone.outputs[0])
        assert (memory.outputs[row, length:] == 0).all()
        assert_same(memory.summary[row], alone.summary[0])
