"""The pointer-generator beside the paper's equations, one token at a time."""

import itertools

import pytest
import torch
from small_models import assert_same

from attentio.config.schema import ModelConfig
from attentio.data.batches import IGNORE_INDEX
from attentio.layers.additive import AdditiveScore
from attentio.layers.coverage import CoverageAttention
from attentio.layers.luong import DotScore
from attentio.layers.sources import prepare
from attentio.models import presets
from attentio.models.pointer import with_pointer
from attentio.models.protocols import Likelihood, StepDecoder
from attentio.models.transformer_presets import transformer_encoder
from attentio.training.loss import Objective

SOURCE_ENTRIES, ENTRIES, ONLY = 11, 7, 2  # the last two of the source are not among the target's
TARGET_IDS = [i % ENTRIES for i in range(SOURCE_ENTRIES - ONLY)] + [ENTRIES, ENTRIES + 1]
EXTENDED = ENTRIES + ONLY + 3  # with three symbols that no vocabulary has
SOURCE, TARGET = 5, 4
KINDS = [
    {"attention": "bahdanau"},
    {"attention": "bahdanau", "coverage": True},
    {"attention": "luong", "input_feeding": False},
    {"attention": "luong", "score": "concat", "coverage": True, "decoder_layers": 2},
    {"attention": "luong", "encoder": "transformer"},
]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=str)


def build(kind):
    sizes = {"embedding": 5, "hidden": 6, "encoder_hidden": 3, "dropout": 0.0, "copy": True}
    config = ModelConfig(**sizes, **kind)
    make = transformer_encoder if config.encoder == "transformer" else presets.recurrent_encoder
    model = getattr(presets, config.attention)(
        config, make(config, vocabulary=SOURCE_ENTRIES), vocabulary=ENTRIES
    ).double()
    model = with_pointer(model, target_ids=TARGET_IDS, unknown=(1, 1)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def drawn():
    """Sources of 5, 1 and 3 tokens, some of them in no vocabulary; what is read to say the labels; the labels."""
    lengths = torch.tensor([SOURCE, 1, 3])[torch.randperm(3)]
    source = torch.randint(SOURCE_ENTRIES + 3, (3, SOURCE))
    source[int(lengths.argmax()), 1] = SOURCE_ENTRIES + 2
    said = torch.randint(ENTRIES, (3, TARGET + 1))
    return source, lengths, said[:, :-1], said[:, 1:]


@EVERY_KIND
def test_probabilities_are_those_of_the_equation(seed, kind):
    """Whatever is said before: a symbol in no vocabulary is read as the unknown token."""
    model, (source, lengths, target, _) = build(kind), drawn()
    target[0, 1] = EXTENDED - 1
    with torch.no_grad():
        found, trace = (
            model(source, lengths, target),
            model.decoder.decoder.trace(model.encode(source, lengths), target),
        )
        plain = target.where(target < ENTRIES, 1)
        assert_same(model(source, lengths, plain), found)
        gate, view = model.decoder.gate, trace.views
        for row, t in itertools.product(range(3), range(TARGET)):
            joined = torch.cat([view.context[row, t], view.current[row, t], view.embedded[row, t]])
            generate = torch.sigmoid(gate.weight[0] @ joined + gate.bias[0])
            expected = torch.zeros(EXTENDED, dtype=torch.float64)
            expected[:ENTRIES] = generate * trace.logits[row, t].softmax(0)
            for j in range(int(lengths[row])):
                token = int(source[row, j])
                there = TARGET_IDS[token] if token < SOURCE_ENTRIES else ENTRIES + ONLY + token - SOURCE_ENTRIES
                expected[there] += (1 - generate) * trace.weights[row, t, j]
            assert_same(found[row, t].exp(), expected)
        assert_same(model.copied(source, lengths, target)[0, 1], 1 - torch.sigmoid(model.decoder.gate_of(view))[0, 1])


@EVERY_KIND
def test_a_step_gives_the_same_as_all_at_once_whatever_a_search_does(seed, kind):
    model, (source, lengths, target, _) = build(kind), drawn()
    assert isinstance(model, StepDecoder)
    with torch.no_grad():
        expected = model(source, lengths, target)
        state, kept = model.start(model.encode(source, lengths)), torch.tensor([2, 0])
        for t in range(TARGET):
            token = target[:, t : t + 1]
            step = model.step(token if t == 0 else torch.cat([(token + 1) % ENTRIES, token], 1), state)
            assert_same(step.logits[:, -1].exp(), expected[:, t].exp())
            state = step.state.reorder(torch.tensor([[0, 0]] if t == 0 else [[0, 1]]).expand(len(token), -1))
            if t == 1:
                state, target, expected = state.keep(kept), target[kept], expected[kept]


@EVERY_KIND
def test_the_loss_is_of_what_is_asked_and_with_coverage_of_looking_again(seed, kind):
    model, (source, lengths, target, labels) = build(kind), drawn()
    assert isinstance(model, Likelihood)
    labels[int(lengths.argmax()), 0] = EXTENDED - 1  # the second token of that source
    labels[0, -1] = IGNORE_INDEX
    loss = Objective(model, label_smoothing=0.1, never=0)(labels, source, lengths, target)
    asked = labels != IGNORE_INDEX
    log_probs = model(source, lengths, target).gather(2, labels.where(asked, 0)[:, :, None]).squeeze(2)
    expected = -log_probs[asked].sum()
    if kind.get("coverage"):
        weights = model.decoder.decoder.trace(model.encode(source, lengths), target).weights
        for row, t in asked.nonzero().tolist():
            expected = expected + torch.minimum(weights[row, t], weights[row, :t].sum(0)).sum()
    assert_same(loss, expected)
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_coverage_enters_the_score(seed):
    attention = CoverageAttention(AdditiveScore(query_features=3, memory_features=5, features=7)).double()
    state, memory, covered = torch.randn(2, 3, 3).double(), torch.randn(2, 5, 5).double(), torch.rand(2, 3, 5).double()
    lengths = torch.tensor([5, 3])
    found = attention(state, prepare(attention.score, memory, lengths), covered)
    score = attention.score
    for row, t in itertools.product(range(2), range(3)):
        scores = torch.stack(
            [
                score.vector
                @ torch.tanh(
                    score.query(state[row, t]) + score.key(memory[row, j]) + covered[row, t, j] * attention.coverage
                )
                for j in range(int(lengths[row]))
            ]
        )
        assert_same(found.weights[row, t, : len(scores)], scores.softmax(0))
        assert_same(found.context[row, t], scores.softmax(0) @ memory[row, : len(scores)])


def test_what_cannot_copy_or_cover_is_refused():
    with pytest.raises(ValueError, match="coverage is for the additive score"):
        CoverageAttention(DotScore(query_features=3, memory_features=3))
    config = ModelConfig(embedding=5, hidden=6, attention="none", copy=True)
    model = presets.plain(config, presets.recurrent_encoder(config, vocabulary=11), vocabulary=7)
    with pytest.raises(ValueError, match="copy needs an attention"):
        with_pointer(model, target_ids=[0], unknown=(1, 1))
