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
    SETTINGS,
    VOCABULARY,
    build_causal_lm,
    build_encoder_decoder,
    draw_setting,
    follow,
)

import attentio as at
from attentio.decoding.search import search
from attentio.layers import block_step, loops
from attentio.layers.transformer_block import TransformerBlock
from attentio.layers.unchanging import unchanging_weights

EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS, ids=str)


@pytest.fixture
def used(monkeypatch):
    """The loops from the first step on, and the rows of every call of them."""
    monkeypatch.setattr(loops, "_steps", math.inf)
    compiled, rows = loops._compiled(), []

    def block_step(x, *arguments):
        rows.append(len(x))
        compiled.block_step(x, *arguments)

    monkeypatch.setattr(loops, "_compiled", lambda: compiled._replace(block_step=block_step))
    return rows


def single(model):
    """The model in float32, and itself."""
    return copy.deepcopy(model).float().eval(), model.eval()


def close(got, expected):
    assert got.dtype == torch.float32
    assert (got - expected).norm() <= 2e-5 * (1 + expected.norm())


@EVERY_SETTING
def test_translations_step_by_step_equal_reading_them_anew(seed, setting, used):
    (model, exact), (source, lengths, _) = single(build_encoder_decoder(setting)), draw_sentences()

    def recompute(row, prefixes):
        beam, n = len(prefixes), lengths[row : row + 1]
        return exact(source[row : row + 1, : n[0]].expand(beam, -1), n.expand(beam), prefixes)[:, -1]

    with torch.no_grad(), unchanging_weights(loops=True):
        follow(model.start(model.encode(source, lengths)), model.step, recompute, TARGET_VOCABULARY, same=close)
    assert used, "few hypotheses"
    assert max(used) <= 8, "many are left to torch"


@EVERY_SETTING
@pytest.mark.parametrize("prompt", [0, 3])
def test_continuations_step_by_step_equal_reading_them_anew(seed, setting, prompt, used):
    (model, exact), prompts = single(build_causal_lm(setting)), torch.randint(VOCABULARY, (3, prompt))

    def recompute(row, prefixes):
        return exact(torch.cat([prompts[row].expand(len(prefixes), -1), prefixes], dim=1))[:, -1]

    with torch.no_grad(), unchanging_weights(loops=True):
        step = lambda token, state: model.step(token, state, need_weights=False)  # noqa: E731
        follow(model.start(prompts), step, recompute, VOCABULARY, same=close)
    assert used


def read_on(setting, length, used):
    model, exact = single(build_causal_lm(setting, layers=3))
    tokens = torch.randint(VOCABULARY, (2, length))
    with torch.no_grad(), unchanging_weights(loops=True):
        logits, state = exact(tokens), model.start(tokens[:, :2])
        for t in range(2, length):
            step = model.step(tokens[:, t : t + 1], state, need_weights=False)
            close(step.logits[:, 0], logits[:, t])
            state = step.state
    assert used == [2] * 3 * (length - 2)


@pytest.mark.parametrize("draw", range(5))
def test_any_combination_of_choices(seed, draw, used):
    read_on(draw_setting(), 29, used)


@pytest.mark.parametrize("setting", [SETTINGS[1], SETTINGS[2]], ids=str)
def test_long_texts_whose_caches_grow_more_than_once(seed, setting, used):
    read_on(setting, 71, used)


@pytest.mark.parametrize("setting", SETTINGS[:4], ids=str)
@pytest.mark.parametrize("beam", [1, 2])
def test_a_search_finds_the_same(seed, setting, beam, used):
    (model, exact), (source, lengths, _) = single(build_encoder_decoder(setting)), draw_sentences()

    def found(model):
        return search(
            model,
            model.start(model.encode(source, lengths)),
            max_lengths=torch.tensor([9, 6, 11]),
            begin=1,
            end=2,
            forbidden=(0, 1),
            beam=beam,
            n_best=beam,
        )

    with torch.no_grad(), unchanging_weights(loops=True):
        got, expected = found(model), found(exact)
    assert used
    for mine, theirs in zip(got, expected, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
            if one.tokens == other.tokens:
                close(one.weights, other.weights)
    assert [h.tokens for hypotheses in got for h in hypotheses] == [h.tokens for hs in expected for h in hs]


@pytest.mark.parametrize("threads", [1, 2])
def test_many_hypotheses_in_threads(seed, threads, used, monkeypatch):
    """Their products are torch's, attention is in loops that threads share."""
    taken = []
    monkeypatch.setattr(block_step, "attention_loops", lambda: taken.append(1) or loops.attention_loops())
    model, exact = single(build_encoder_decoder(SETTINGS[1]))
    source, lengths, _ = draw_sentences()
    source, lengths, before = source.repeat(7, 1), lengths.repeat(7), torch.get_num_threads()
    target = torch.randint(TARGET_VOCABULARY, (21, 6))
    torch.set_num_threads(threads)
    try:
        with torch.no_grad(), unchanging_weights(loops=True):
            logits, state = exact(source, lengths, target), model.start(model.encode(source, lengths))
            for t in range(6):
                step = model.step(target[:, t : t + 1], state)
                close(step.logits[:, 0], logits[:, t])
                state = step.state
    finally:
        torch.set_num_threads(before)
    assert (len(taken), used) == (2 * 6, [])


def test_nan_in_padding_reaches_nothing(seed, used):
    model, (source, lengths, target) = build_encoder_decoder(SETTINGS[0]).float().eval(), draw_sentences()
    lengths[1] = SOURCE - 3
    with torch.no_grad(), unchanging_weights(loops=True):
        memory = model.encode(source, lengths)
        outputs = memory.outputs.clone()
        outputs[1, SOURCE - 3 :] = math.nan
        spoiled = memory._replace(outputs=outputs)
        clean, dirty = (model.step(target[:, :1], model.start(m)) for m in (memory, spoiled))
    assert used
    assert torch.equal(clean.logits, dirty.logits)
    assert torch.equal(clean.weights, dirty.weights)


def test_a_source_without_real_positions_adds_nothing(seed, used):
    model, exact = single(build_encoder_decoder(SETTINGS[0]))
    source, lengths, target = draw_sentences()
    lengths[1] = 0
    with torch.no_grad(), unchanging_weights(loops=True):
        steps = [m.step(target[:, :1], m.start(m.encode(source, lengths))) for m in (model, exact)]
    assert used
    close(steps[0].logits, steps[1].logits)
    assert (steps[0].weights[1] == 0).all()


def test_an_older_state_can_be_gone_on_from(seed, used):
    model, (source, lengths, target) = build_encoder_decoder(SETTINGS[0]).float().eval(), draw_sentences()
    with torch.no_grad(), unchanging_weights(loops=True):
        state = model.step(target[:, :1], model.start(model.encode(source, lengths))).state
        first = model.step(target[:, 1:2], state)
        model.step((target[:, 1:2] + 1) % TARGET_VOCABULARY, state)
        assert torch.equal(first.logits, model.step(target[:, 1:2], state).logits)
        onward = model.step(target[:, 2:3], first.state).logits
        assert torch.equal(onward, model.step(target[:, 2:3], first.state).logits)
    assert used


class Block(TransformerBlock):
    """Somebody's own."""


REASONS = [
    "gradients",
    "training",
    "float64",
    "autocast",
    "changing weights",
    "weights",
    "hook",
    "own block",
    "capture",
    "the same numbers",
]


@pytest.mark.parametrize("reason", REASONS)
def test_where_something_else_is_asked_for_the_blocks_themselves_run(seed, reason, used):
    model, tokens = build_causal_lm(SETTINGS[3]).float().eval(), torch.randint(VOCABULARY, (2, 5))
    seen = []
    if reason == "training":
        model.train()
    if reason == "float64":
        model.double()
    if reason == "hook":
        model.stack.blocks[1].feed_forward.up.register_forward_hook(lambda *_: seen.append("hook"))
    if reason == "own block":
        model.stack.blocks[1].__class__ = Block

    def steps():
        state = model.start(tokens)
        return model.step(tokens[:, :1], state, need_weights=reason == "weights")

    with torch.set_grad_enabled(reason == "gradients"), torch.autocast("cpu", enabled=reason == "autocast"):
        if reason == "capture":
            with at.capture(model) as captured, unchanging_weights(loops=True):
                steps()
            assert len(captured) == 4, "the prompt and the step, in two blocks"
        elif reason == "changing weights":
            steps()
        else:
            with unchanging_weights(loops=reason != "the same numbers"):
                step = steps()
            assert reason != "weights" or step.weights is not None
            assert reason != "gradients" or step.logits.requires_grad
    assert not used
    assert reason != "hook" or len(seen) == 2


def test_gradients_of_earlier_steps_stay_right(seed, used):
    model, tokens = build_causal_lm(SETTINGS[3]).float().eval(), torch.randint(VOCABULARY, (2, 5))
    with unchanging_weights(loops=True):
        state = model.start(tokens)
        with torch.no_grad():
            model.step(tokens[:, :1], state, need_weights=False)
    assert not used, "it would write to what a gradient may still need"


def test_what_is_short_is_done_before_numba_is_loaded(seed, monkeypatch):
    model, tokens = build_causal_lm(SETTINGS[3]).float().eval(), torch.randint(VOCABULARY, (1, 5))
    monkeypatch.setattr(loops, "_steps", 0)
    loaded = []
    monkeypatch.setattr(loops, "_compiled", lambda: loaded.append(1))
    with torch.no_grad(), unchanging_weights(loops=True):
        state = model.start(tokens)
        for _ in range(500):
            model.step(tokens[:, :1], state, need_weights=False)
        assert not loaded
        model.step(tokens[:, :1], state, need_weights=False)
    assert loaded


def test_without_numba_steps_are_torchs_and_a_warning_says_so():
    code = """
        import torch
        from attentio.decoding.search import search
        from attentio.layers import block_step, loops
        from attentio.layers.unchanging import unchanging_weights
        from attentio.models.transformer_presets import TransformerSizes, causal_lm
        loops._steps = 10**9
        sizes = TransformerSizes(width=8, heads=2, feed_forward=8, max_length=9)
        model = causal_lm(sizes, vocabulary=7, layers=1).eval()
        with torch.no_grad(), unchanging_weights(loops=True):
            state = model.start(torch.tensor([[1, 2]]))
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
