"""Decoding with a cache: the same numbers as reading everything anew, whatever a search does (traps 8, 17, 18, 25)."""

import pytest
import torch
from small_models import SOURCE, TARGET, assert_same, draw_sentences
from small_transformers import (
    QK_NORM,
    SETTINGS,
    TARGET_VOCABULARY,
    VOCABULARY,
    build_causal_lm,
    build_encoder_decoder,
    draw_setting,
    follow,
)

from attentio.decoding.search import search
from attentio.layers.linear import Linear

EVERY_SETTING = pytest.mark.parametrize("setting", [*SETTINGS, QK_NORM], ids=str)
POSITION_KINDS = pytest.mark.parametrize("setting", SETTINGS[:4], ids=str)
LONG = 71  # tokens: caches grow more than once


@EVERY_SETTING
def test_step_by_step_equals_teacher_forced(seed, setting):
    model, sentences = build_encoder_decoder(setting), draw_sentences()
    with torch.no_grad():
        logits = model(*sentences)
        state = model.start(model.encode(sentences.source, sentences.lengths))
        for t in range(TARGET):
            step = model.step(sentences.target[:, t : t + 1], state)
            assert step.logits.shape == (3, 1, TARGET_VOCABULARY)
            assert step.weights.shape == (3, 1, SOURCE)
            assert_same(step.logits[:, 0], logits[:, t])
            state = step.state


@EVERY_SETTING
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")  # RMSNorm, of bfloat16
def test_step_by_step_under_autocast(seed, setting, training):
    model, sentences = build_encoder_decoder(setting).float(), draw_sentences()
    with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16):
        logits = model(*sentences)
        state = model.start(model.encode(sentences.source, sentences.lengths))
        for t in range(TARGET):
            step = model.step(sentences.target[:, t : t + 1], state)
            error = (step.logits[:, 0].float() - logits[:, t].float()).norm()
            assert error < 0.2 * logits[:, t].float().norm()
            state = step.state


@pytest.mark.parametrize("setting", [SETTINGS[1], SETTINGS[2]], ids=str)
def test_long_outputs_step_by_step_equal_teacher_forced(seed, setting):
    model, (source, lengths, _) = build_encoder_decoder(setting, layers=(1, 1)), draw_sentences()
    target = torch.randint(TARGET_VOCABULARY, (3, LONG))
    with torch.no_grad():
        state, steps = model.start(model.encode(source, lengths)), []
        for token in target.split(1, dim=1):
            logits, _, state = model.step(token, state)
            steps.append(logits)
        assert_same(torch.cat(steps, dim=1), model(source, lengths, target))


@EVERY_SETTING
@pytest.mark.parametrize("prompt", [0, 1, 5])
def test_a_prompt_and_steps_equal_reading_the_whole_text(seed, setting, prompt):
    model, tokens = build_causal_lm(setting), torch.randint(VOCABULARY, (3, 13))
    with torch.no_grad():
        logits, state = model(tokens), model.start(tokens[:, :prompt])
        for t in range(prompt, 13):
            step = model.step(tokens[:, t : t + 1], state)
            assert_same(step.logits[:, 0], logits[:, t])
            state = step.state


@EVERY_SETTING
def test_reordered_and_kept_translations_equal_recomputing_them(seed, setting):
    model, (source, lengths, _) = build_encoder_decoder(setting), draw_sentences()

    def recompute(row, prefixes):
        beam, n = len(prefixes), lengths[row : row + 1]
        return model(source[row : row + 1, : n[0]].expand(beam, -1), n.expand(beam), prefixes)[:, -1]

    with torch.no_grad():
        follow(model.start(model.encode(source, lengths)), model.step, recompute, TARGET_VOCABULARY)


@EVERY_SETTING
@pytest.mark.parametrize("prompt", [0, 3])
def test_reordered_and_kept_continuations_equal_recomputing_them(seed, setting, prompt):
    model, prompts = build_causal_lm(setting), torch.randint(VOCABULARY, (3, prompt))

    def recompute(row, prefixes):
        return model(torch.cat([prompts[row].expand(len(prefixes), -1), prefixes], dim=1))[:, -1]

    with torch.no_grad():
        follow(model.start(prompts), model.step, recompute, VOCABULARY)


@pytest.mark.parametrize("draw", range(5))
def test_any_combination_of_choices_decodes_as_it_reads(seed, draw):
    setting = draw_setting()
    model, tokens = build_causal_lm(setting, layers=3), torch.randint(VOCABULARY, (2, 29))
    with torch.no_grad():
        logits, state = model(tokens), model.start(tokens[:, :2])
        for t in range(2, 29):
            twice = tokens[:, t : t + 1].expand(2, 2)
            state = state.reorder(torch.tensor([[0, 0], [0, 0]]))
            step = model.step(twice, state)
            assert_same(step.logits, logits[:, t].unsqueeze(1).expand_as(step.logits))
            state = step.state


@EVERY_SETTING
def test_a_state_can_be_gone_on_from_again(seed, setting):
    """A step, a reordering and a choice leave the state they started from as it was."""
    model, causal, sentences = build_encoder_decoder(setting), build_causal_lm(setting), draw_sentences()
    tokens = torch.randint(TARGET_VOCABULARY, (3, 3))
    tokens[:, 2] = (tokens[:, 1] + 1) % TARGET_VOCABULARY
    with torch.no_grad():
        for each, begun in (
            (model, model.start(model.encode(sentences.source, sentences.lengths))),
            (causal, causal.start(tokens[:, :2])),
        ):
            state = each.step(tokens[:, :1], begun).state
            first = each.step(tokens[:, 1:2], state)
            other = each.step(tokens[:, 2:], state)
            fewer = state.reorder(torch.zeros(3, 2).long()).keep(torch.tensor([1]))
            each.step(tokens[:1, 2:].expand(1, 2), fewer)
            again = each.step(tokens[:, 1:2], state)
            assert torch.equal(first.logits, again.logits)
            # And both branches go on, each on its own past.
            onward = each.step(tokens[:, :1], first.state).logits
            beside = each.step(tokens[:, :1], other.state).logits
            assert torch.equal(onward, each.step(tokens[:, :1], again.state).logits)
            assert not torch.allclose(onward, beside)


@EVERY_SETTING
def test_asking_for_weights_changes_nothing(seed, setting):
    model, causal, sentences = build_encoder_decoder(setting), build_causal_lm(setting), draw_sentences()
    with torch.no_grad():
        begun = model.start(model.encode(sentences.source, sentences.lengths))
        read = causal.start(sentences.source)
        for each, state, token in ((model.decoder, begun, sentences.target), (causal, read, sentences.source)):
            asked, silent = (each.step(token[:, :1], state, need_weights=choice) for choice in (True, False))
            assert silent.weights is None
            assert asked.weights is not None
            assert_same(silent.logits, asked.logits)
            later = [each.step(token[:, 1:2], step.state, need_weights=False).logits for step in (asked, silent)]
            assert_same(*later)


@POSITION_KINDS
@pytest.mark.parametrize("beam", [1, 3])
def test_hypotheses_and_their_weights_are_those_of_scoring_them_again(seed, setting, beam):
    """Probability and attention belong to the hypothesis returned (trap 17), row by row (trap 18)."""
    model, (source, lengths, _) = build_encoder_decoder(setting), draw_sentences()
    begin, end = 1, 2
    with torch.no_grad():
        found = search(
            model,
            model.start(model.encode(source, lengths)),
            max_lengths=torch.tensor([9, 6, 11]),
            begin=begin,
            end=end,
            forbidden=(0, 1),
            beam=beam,
            n_best=beam,
        )
        for row, hypotheses in enumerate(found):
            n = lengths[row : row + 1]
            for tokens, _, log_prob, weights, *_ in hypotheses:
                target = torch.tensor([[begin, *tokens]])
                memory = model.encode(source[row : row + 1, : n[0]], n)
                log_probs = model.output(model.decoder.features(memory, target))[0].log_softmax(-1)
                again = sum(log_probs[i, token].item() for i, token in enumerate([*tokens, end]))
                assert log_prob == pytest.approx(again, rel=1e-9, abs=1e-9)
                expected = model.decoder.attention(memory, target)[-1].cross[0].mean(dim=0)
                assert_same(weights[:, : n[0]], expected)
                assert (weights[:, n[0] :] == 0).all()


@POSITION_KINDS
def test_what_is_found_does_not_depend_on_the_batch(seed, setting):
    model, (source, lengths, _) = build_encoder_decoder(setting), draw_sentences()
    options = {"begin": 1, "end": 2, "forbidden": (0, 1), "beam": 3, "n_best": 2}
    with torch.no_grad():
        state = model.start(model.encode(source, lengths))
        together = search(model, state, max_lengths=torch.tensor([9, 6, 11]), **options)
        for row, limit in enumerate((9, 6, 11)):
            n = lengths[row : row + 1]
            state = model.start(model.encode(source[row : row + 1, : n[0]], n))
            (alone,) = search(model, state, max_lengths=torch.tensor([limit]), **options)
            assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
            assert [h.log_prob for h in alone] == pytest.approx([h.log_prob for h in together[row]], rel=1e-9)


@POSITION_KINDS
def test_a_search_over_continuations_is_that_of_scoring_them_again(seed, setting):
    """The last token of the prompt is the begin token of the search."""
    model, prompts = build_causal_lm(setting), torch.randint(3, VOCABULARY, (2, 5))
    last = int(prompts[0, -1])
    prompts[:, -1] = last
    with torch.no_grad():
        found = search(
            model,
            model.start(prompts[:, :-1]),
            max_lengths=torch.tensor([7, 4]),
            begin=last,
            end=2,
            forbidden=(0, 1),
            beam=3,
            n_best=3,
            need_weights=False,
        )
        for prompt, hypotheses in zip(prompts, found, strict=True):
            for tokens, _, log_prob, *_ in hypotheses:
                text = torch.cat([prompt, torch.tensor(tokens, dtype=torch.long)])
                log_probs = model(text.unsqueeze(0))[0, len(prompt) - 1 :].log_softmax(-1)
                again = sum(log_probs[i, token].item() for i, token in enumerate([*tokens, 2]))
                assert log_prob == pytest.approx(again, rel=1e-9, abs=1e-9)


@POSITION_KINDS
def test_steps_in_float32_equal_the_whole_also_after_the_weights_have_changed(seed, setting):
    """float32 takes other products, which keep the weights in another order; a changed weight must not be forgotten."""
    model, (source, lengths, target) = build_encoder_decoder(setting).float(), draw_sentences()
    assert any(isinstance(module, Linear) for module in model.modules())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        with torch.no_grad():
            state, steps = model.start(model.encode(source, lengths)), []
            for token in target.split(1, dim=1):
                logits, _, state = model.step(token, state)
                steps.append(logits)
        whole = model(source, lengths, target)
        torch.testing.assert_close(torch.cat(steps, dim=1), whole.detach(), rtol=1e-3, atol=1e-3)
        optimizer.zero_grad()
        whole.log_softmax(-1).mean().backward()
        optimizer.step()
