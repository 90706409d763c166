"""Steps of Transformers in compiled loops: the equation's numbers, and nothing where the loops may not be used."""

import copy
import math
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from small_models import SOURCE, TARGET_VOCABULARY, draw_sentences
from small_transformers import (
    QK_NORM,
    SETTINGS,
    VOCABULARY,
    build_causal_lm,
    build_encoder_decoder,
    draw_setting,
    follow,
)
from torch import nn

import attentio as at
from attentio.decoding.search import search
from attentio.layers.fused import block_step
from attentio.layers.fused.loops import attention_loops, compiled_loops
from attentio.layers.packed import PackedWeights
from attentio.layers.transformer_block import TransformerBlock

EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS, ids=str)


class Watched(PackedWeights):
    """Weights with compiled loops. rows: of every call of a block's."""

    def __init__(self):
        compiled = compiled_loops()
        super().__init__(compiled._replace(block_step=self._block_step))
        self.rows, self._compiled = [], compiled

    def _block_step(self, x, *arguments):
        self.rows.append(len(x))
        self._compiled.block_step(x, *arguments)


@pytest.fixture
def watched():
    return Watched()


def single(model):
    """The model in float32, and itself."""
    return copy.deepcopy(model).float().eval(), model.eval()


def close(got, expected):
    assert got.dtype == torch.float32
    assert (got - expected).norm() <= 2e-5 * (1 + expected.norm())


@EVERY_SETTING
def test_translations_step_by_step_equal_reading_them_anew(seed, setting, watched):
    (model, exact), (source, lengths, _) = single(build_encoder_decoder(setting)), draw_sentences()

    def recompute(row, prefixes):
        beam, n = len(prefixes), lengths[row : row + 1]
        return exact(source[row : row + 1, : n[0]].expand(beam, -1), n.expand(beam), prefixes)[:, -1]

    with torch.no_grad():
        follow(
            model.start(model.encode(source, lengths), packed=watched),
            model.step,
            recompute,
            TARGET_VOCABULARY,
            same=close,
        )
    assert watched.rows, "few hypotheses"
    assert max(watched.rows) <= 8, "many are left to torch"


@EVERY_SETTING
@pytest.mark.parametrize("prompt", [0, 3])
def test_continuations_step_by_step_equal_reading_them_anew(seed, setting, prompt, watched):
    (model, exact), prompts = single(build_causal_lm(setting)), torch.randint(VOCABULARY, (3, prompt))

    def recompute(row, prefixes):
        return exact(torch.cat([prompts[row].expand(len(prefixes), -1), prefixes], dim=1))[:, -1]

    with torch.no_grad():
        step = lambda token, state: model.step(token, state, need_weights=False)  # noqa: E731
        follow(model.start(prompts, packed=watched), step, recompute, VOCABULARY, same=close)
    assert watched.rows


def read_on(setting, length, watched):
    model, exact = single(build_causal_lm(setting, layers=3))
    tokens = torch.randint(VOCABULARY, (2, length))
    with torch.no_grad():
        logits, state = exact(tokens), model.start(tokens[:, :2], packed=watched)
        for t in range(2, length):
            step = model.step(tokens[:, t : t + 1], state, need_weights=False)
            close(step.logits[:, 0], logits[:, t])
            state = step.state
    assert watched.rows == [2] * 3 * (length - 2)


@pytest.mark.parametrize("draw", range(5))
def test_any_combination_of_choices(seed, draw, watched):
    read_on(draw_setting(), 29, watched)


@pytest.mark.parametrize("setting", [SETTINGS[1], SETTINGS[2]], ids=str)
def test_long_texts_whose_caches_grow_more_than_once(seed, setting, watched):
    read_on(setting, 71, watched)


@pytest.mark.parametrize("setting", SETTINGS[:4], ids=str)
@pytest.mark.parametrize("beam", [1, 2])
def test_a_search_finds_the_same(seed, setting, beam, watched):
    (model, exact), (source, lengths, _) = single(build_encoder_decoder(setting)), draw_sentences()

    def found(model, packed=None):
        return search(
            model,
            model.start(model.encode(source, lengths), packed=packed),
            max_lengths=torch.tensor([9, 6, 11]),
            begin=1,
            end=2,
            forbidden=(0, 1),
            beam=beam,
            n_best=beam,
        )

    with torch.no_grad():
        got, expected = found(model, watched), found(exact)
    assert watched.rows
    for mine, theirs in zip(got, expected, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
            if one.tokens == other.tokens:
                close(one.weights, other.weights)
    assert [h.tokens for hypotheses in got for h in hypotheses] == [h.tokens for hs in expected for h in hs]


@pytest.mark.parametrize("threads", [1, 2])
def test_many_hypotheses_in_threads(seed, threads, watched, monkeypatch):
    """Their products are torch's, attention is in loops that threads share."""
    taken = []
    monkeypatch.setattr(block_step, "attention_loops", lambda: taken.append(1) or attention_loops())
    model, exact = single(build_encoder_decoder(SETTINGS[1]))
    source, lengths, _ = draw_sentences()
    source, lengths, before = source.repeat(7, 1), lengths.repeat(7), torch.get_num_threads()
    target = torch.randint(TARGET_VOCABULARY, (21, 6))
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            logits, state = exact(source, lengths, target), model.start(model.encode(source, lengths), packed=watched)
            for t in range(6):
                step = model.step(target[:, t : t + 1], state)
                close(step.logits[:, 0], logits[:, t])
                state = step.state
    finally:
        torch.set_num_threads(before)
    assert (len(taken), watched.rows) == (2 * 6, [])


def test_nan_in_padding_reaches_nothing(seed, watched):
    model, (source, lengths, target) = build_encoder_decoder(SETTINGS[0]).float().eval(), draw_sentences()
    lengths[1] = SOURCE - 3
    with torch.no_grad():
        memory = model.encode(source, lengths)
        outputs = memory.outputs.clone()
        outputs[1, SOURCE - 3 :] = math.nan
        spoiled = memory._replace(outputs=outputs)
        clean, dirty = (model.step(target[:, :1], model.start(m, packed=watched)) for m in (memory, spoiled))
    assert watched.rows
    assert torch.equal(clean.logits, dirty.logits)
    assert torch.equal(clean.weights, dirty.weights)


def test_a_source_without_real_positions_adds_nothing(seed, watched):
    model, exact = single(build_encoder_decoder(SETTINGS[0]))
    source, lengths, target = draw_sentences()
    lengths[1] = 0
    with torch.no_grad():
        steps = [m.step(target[:, :1], m.start(m.encode(source, lengths), packed=watched)) for m in (model, exact)]
    assert watched.rows
    close(steps[0].logits, steps[1].logits)
    assert (steps[0].weights[1] == 0).all()


def test_an_older_state_can_be_gone_on_from(seed, watched):
    model, (source, lengths, target) = build_encoder_decoder(SETTINGS[0]).float().eval(), draw_sentences()
    with torch.no_grad():
        state = model.step(target[:, :1], model.start(model.encode(source, lengths), packed=watched)).state
        first = model.step(target[:, 1:2], state)
        model.step((target[:, 1:2] + 1) % TARGET_VOCABULARY, state)
        assert torch.equal(first.logits, model.step(target[:, 1:2], state).logits)
        onward = model.step(target[:, 2:3], first.state).logits
        assert torch.equal(onward, model.step(target[:, 2:3], first.state).logits)
    assert watched.rows


class Block(TransformerBlock):
    """Somebody's own."""


def give_a_block_of_somebodys_own(model):
    model.stack.blocks[1].__class__ = Block


@pytest.fixture
def causal_lm(seed):
    return build_causal_lm(SETTINGS[3]).float().eval(), torch.randint(VOCABULARY, (2, 5))


def first_step(model, tokens, packed, **asked):
    return model.step(tokens[:, :1], model.start(tokens, packed=packed), **asked)


@pytest.mark.parametrize("change", [nn.Module.train, nn.Module.double, give_a_block_of_somebodys_own])
def test_a_model_that_the_loops_are_not_for_runs_its_own_blocks(causal_lm, watched, change):
    model, tokens = causal_lm
    change(model)
    with torch.no_grad():
        first_step(model, tokens, watched)
    assert not watched.rows


def test_where_gradients_are_wanted_the_blocks_themselves_run(causal_lm, watched):
    assert first_step(*causal_lm, watched).logits.requires_grad
    assert not watched.rows


def test_under_autocast_the_blocks_themselves_run(causal_lm, watched):
    with torch.no_grad(), torch.autocast("cpu"):
        first_step(*causal_lm, watched)
    assert not watched.rows


def test_where_weights_are_wanted_the_blocks_themselves_run(causal_lm, watched):
    with torch.no_grad():
        assert first_step(*causal_lm, watched, need_weights=True).weights is not None
    assert not watched.rows


def test_hooks_are_called_by_the_blocks_themselves(causal_lm, watched):
    model, tokens = causal_lm
    called = []
    model.stack.blocks[1].feed_forward.up.register_forward_hook(lambda *_: called.append(1))
    with torch.no_grad():
        first_step(model, tokens, watched)
    assert len(called) == 2, "the prompt and the step"
    assert not watched.rows


def test_what_is_captured_ran_in_the_blocks_themselves(causal_lm, watched):
    model, tokens = causal_lm
    with torch.no_grad(), at.capture(model) as captured:
        first_step(model, tokens, watched)
    assert len(captured) == 4, "the prompt and the step, in two blocks"
    assert not watched.rows


def test_another_normalization_is_left_to_the_blocks_themselves(causal_lm, watched):
    model, tokens = causal_lm
    for block in model.stack.blocks:
        block.self_attention.normalize = at.Entmax()
    with torch.no_grad():
        first_step(model, tokens, watched)
    assert not watched.rows


def test_queries_and_keys_of_one_length_are_left_to_the_blocks_themselves(seed, watched):
    model, tokens = build_causal_lm(QK_NORM).float().eval(), torch.randint(VOCABULARY, (2, 5))
    with torch.no_grad():
        first_step(model, tokens, watched)
    assert not watched.rows


def test_gradients_of_earlier_steps_stay_right(seed, watched):
    model, tokens = build_causal_lm(SETTINGS[3]).float().eval(), torch.randint(VOCABULARY, (2, 5))
    state = model.start(tokens, packed=watched)
    with torch.no_grad():
        model.step(tokens[:, :1], state, need_weights=False)
    assert not watched.rows, "it would write to what a gradient may still need"


def test_a_state_goes_on_with_what_it_was_started_with(seed, watched):
    """Whatever else the process decodes meanwhile, and in whatever order."""
    model, tokens = build_causal_lm(SETTINGS[3]).float().eval(), torch.randint(VOCABULARY, (1, 5))

    def logits(state):
        return model.step(tokens[:, :1], state, need_weights=False).logits

    with torch.no_grad():
        plain, fused = model.start(tokens), model.start(tokens, packed=watched)
        first, looped = logits(plain), logits(fused)
        assert torch.equal(logits(plain), first)
        assert torch.equal(logits(fused), looped)
        assert torch.equal(logits(model.start(tokens)), first)
    assert watched.rows == [1] * 2 * 2


def test_without_numba_steps_are_torchs_and_a_warning_says_so():
    code = """
        import torch
        from attentio.config.schema import ModelConfig, TransformerConfig
        from attentio.layers.fused.loops import compiled_loops
        from attentio.layers.packed import PackedWeights
        from attentio.models.transformer_presets import causal_lm
        sizes = TransformerConfig(width=8, heads=2, feed_forward=8, max_length=9)
        model = causal_lm(ModelConfig(transformer=sizes), vocabulary=7).eval()
        with torch.no_grad():
            state = model.start(torch.tensor([[1, 2]]), packed=PackedWeights(compiled_loops()))
            for _ in range(2):
                logits, _, state = model.step(torch.tensor([[3]]), state, need_weights=False)
            print(torch.allclose(logits[0], model(torch.tensor([[1, 2, 3, 3]]))[:, -1], atol=1e-5))
    """
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stdout == "True\n", ran.stderr
    assert ran.stderr.count("decoding runs in plain torch") == 1
    assert "NUMBA_DISABLE_JIT is set" in ran.stderr
