"""Decoding step by step: the same numbers as teacher-forced, whatever a search does with its hypotheses."""

import pytest
import torch
from small_models import (
    ATTENTIVE,
    SOURCE,
    TARGET,
    TARGET_VOCABULARY,
    VARIANTS,
    assert_same,
    build,
    draw_sentences,
)

from attentio.config.schema import ModelConfig
from attentio.models import presets

EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def teacher_forced(model, sentences, row, prefixes):
    """Logits of the token after each of `prefixes`, for one sentence of the batch without its padding."""
    beam, lengths = len(prefixes), sentences.lengths[row : row + 1]
    source = sentences.source[row : row + 1, : lengths[0]]
    return model(source.expand(beam, -1), lengths.expand(beam), prefixes)[:, -1]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@EVERY_VARIANT
def test_step_by_step_equals_teacher_forced(seed, variant, cell):
    model, sentences = build(variant, cell=cell, layers=(1, 2)), draw_sentences()
    features = model.features(*sentences)
    state = model.start(model.encode(sentences.source, sentences.lengths))
    for t in range(TARGET):
        logits, weights, state = model.step(sentences.target[:, t : t + 1], state)
        assert logits.shape == (3, 1, TARGET_VOCABULARY)
        assert (weights is None) == (variant not in ATTENTIVE)
        assert_same(logits[:, 0], model.output(features[:, t]))


@EVERY_VARIANT
def test_reordered_and_kept_hypotheses_equal_recomputing_them(seed, variant):
    """A search that branches, swaps and drops at random: each hypothesis stays its own."""
    model, sentences = build(variant, layers=(1, 2)), draw_sentences()
    rows, beam = torch.arange(3), 1
    prefixes = torch.zeros(3, 1, 0, dtype=torch.long)
    with torch.no_grad():
        state = model.start(model.encode(sentences.source, sentences.lengths))
        for new_beam, kept in ((5, [2, 0, 1]), (2, [2, 0]), (7, [1])):
            token = torch.randint(TARGET_VOCABULARY, (len(rows), beam))
            logits, _, state = model.step(token, state)
            prefixes = torch.cat([prefixes, token.unsqueeze(2)], dim=2)
            for i, row in enumerate(rows.tolist()):
                assert_same(logits[i], teacher_forced(model, sentences, row, prefixes[i]))
            parents = torch.randint(beam, (len(rows), new_beam))
            state = state.reorder(parents).keep(torch.tensor(kept))
            prefixes = prefixes.take_along_dim(parents.unsqueeze(2), dim=1)[kept]
            rows, beam = rows[kept], new_beam
        token = torch.randint(TARGET_VOCABULARY, (1, beam))
        logits, weights, _ = model.step(token, state)
        prefixes = torch.cat([prefixes, token.unsqueeze(2)], dim=2)
        assert_same(logits[0], teacher_forced(model, sentences, int(rows), prefixes[0]))
    assert weights is None or weights.shape == (1, beam, SOURCE)


@EVERY_VARIANT
def test_a_state_can_be_gone_on_from_again(seed, variant):
    """A step, a reordering and a choice leave the state they started from as it was."""
    model, sentences = build(variant), draw_sentences()
    with torch.no_grad():
        begun = model.start(model.encode(sentences.source, sentences.lengths))
        state = model.step(sentences.target[:, :1], begun).state
        first = model.step(sentences.target[:, 1:2], state)
        model.step(sentences.target[:1, 2:4], state.reorder(torch.zeros(3, 2).long()).keep(torch.tensor([1])))
        again = model.step(sentences.target[:, 1:2], state)
    torch.testing.assert_close(first.logits, again.logits, rtol=0, atol=0)


def test_dot_needs_decoder_and_encoder_states_of_one_size():
    config = ModelConfig(hidden=7, encoder_hidden=3, score="dot")
    encoder = presets.recurrent_encoder(config, vocabulary=23)
    for preset in (presets.delayed, presets.luong):
        with pytest.raises(ValueError, match=r"score 'dot' .* got 7 and 6\."):
            preset(config, encoder, vocabulary=19)
