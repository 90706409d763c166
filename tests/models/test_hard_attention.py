"""Exact hard attention beside the sum over every alignment, written from the papers' equations."""

import itertools
import math

import pytest
import torch
from small_models import SOURCE_VOCABULARY, TARGET_VOCABULARY, assert_same, draw_sentences

from attentio.config.schema import ModelConfig
from attentio.data.batches import IGNORE_INDEX
from attentio.layers import emission
from attentio.models import presets
from attentio.models.protocols import LatentAttention, Likelihood, StepDecoder
from attentio.training.loss import Objective

REACH, SOURCE, TARGET = 2, 5, 3
KINDS = [(attention, order) for attention in ("hard", "hard-monotonic") for order in (0, 1)]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=str)


def build(kind, **options):
    attention, order = kind
    sizes = {"embedding": 5, "hidden": 7, "encoder_hidden": 3, "window": REACH, "dropout": 0.0}
    config = ModelConfig(attention=attention, order=order, **{**sizes, **options})
    encoder = presets.recurrent_encoder(config, vocabulary=SOURCE_VOCABULARY)
    model = presets.hard(config, encoder, vocabulary=TARGET_VOCABULARY).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def drawn():
    """Sources of 5, 1 and 3 tokens; what is read to say the labels; the labels."""
    lengths = torch.tensor([SOURCE, 1, 3])[torch.randperm(3)]
    said = torch.randint(1, TARGET_VOCABULARY, (3, TARGET + 1))
    return torch.randint(SOURCE_VOCABULARY, (3, SOURCE)), lengths, said[:, :-1], said[:, 1:]


class ByHand:
    """p(a, y | x) of one sentence, one alignment at a time."""

    def __init__(self, model, kind, source, target):
        decoder, (self.attention, self.order) = model.decoder, kind
        memory = model.encode(source[None], torch.tensor([len(source)]))
        self.h, self.s = memory.outputs[0], decoder.features(memory, target[None])[0]
        self.parameters = dict(decoder.named_parameters())

    def transition(self, i, j, k):
        """p(a_i = k | a_{i-1} = j)"""
        allowed = [m for m in range(len(self.h)) if self.attention == "hard" or m >= j]
        if self.order == 1:
            allowed = [m for m in allowed if abs(m - j) <= REACH]
        if k not in allowed:
            return 0.0
        scores = {m: float(self.score(i, j, m)) for m in allowed}
        return math.exp(scores[k]) / sum(map(math.exp, scores.values()))

    def score(self, i, j, m):
        p = self.parameters
        if self.order == 0:
            return self.s[i] @ p["transitions.score.key.weight"] @ self.h[m]
        jumps = p["transitions.query.weight"] @ self.s[i] + p["transitions.query.bias"]
        jumps = jumps + p["transitions.key.weight"] @ self.h[j]
        return jumps[m - j + (REACH if self.attention == "hard" else 0)]

    def emission(self, i, j, y):
        p = self.parameters
        hidden = torch.tanh(p["of_state.weight"] @ self.s[i] + p["of_memory.weight"] @ self.h[j])
        return float(torch.softmax(p["output.weight"] @ hidden + p["output.bias"], 0)[y])

    def alignments(self, said):
        """Every one, with its probability together with the tokens said."""
        for path in itertools.product(range(len(self.h)), repeat=len(said)):
            probability, before = 1.0, 0
            for i, (j, y) in enumerate(zip(path, said, strict=True)):
                probability *= self.transition(i, before, j) * self.emission(i, j, y)
                before = j
            yield path, probability


@EVERY_KIND
def test_the_likelihood_is_the_sum_over_all_alignments(seed, kind):
    model, (source, lengths, target, labels) = build(kind), drawn()
    with torch.no_grad():
        found = model.log_probs(labels, torch.ones_like(labels).bool(), source, lengths, target).cumsum(1)
        posteriors = model.posterior(source, lengths, target, labels, torch.ones_like(labels).bool())
        for row, length in enumerate(lengths.tolist()):
            hand, said = ByHand(model, kind, source[row, :length], target[row]), labels[row].tolist()
            for n in range(1, TARGET + 1):
                total = sum(probability for _, probability in hand.alignments(said[:n]))
                assert float(found[row, n - 1]) == pytest.approx(math.log(total), rel=1e-9)
            expected = torch.zeros(TARGET, SOURCE, dtype=torch.float64)
            for path, probability in hand.alignments(said):
                expected[range(TARGET), path] += probability / total
            assert_same(posteriors[row], expected)


@EVERY_KIND
def test_a_step_gives_the_same_as_all_at_once_whatever_a_search_does(seed, kind):
    model, (source, lengths, target, labels) = build(kind, decoder_layers=2), drawn()
    assert isinstance(model, StepDecoder)
    with torch.no_grad():
        expected = model(source, lengths, target)
        log_probs = model.log_probs(labels, torch.ones_like(labels).bool(), source, lengths, target)
        assert_same(expected.gather(2, labels[:, :, None]).squeeze(2), log_probs)
        assert_same(expected.logsumexp(2), torch.zeros(3, TARGET, dtype=torch.float64))
        # Two hypotheses, the second of which reads something else; they change places, and two sentences their order.
        state, kept = model.start(model.encode(source, lengths)), torch.tensor([2, 0])
        for t in range(TARGET):
            token = target[:, t : t + 1]
            step = model.step(token if t == 0 else torch.cat([(token + 1) % TARGET_VOCABULARY, token], 1), state)
            assert_same(step.logits[:, -1], expected[:, t])
            assert_same(step.weights.sum(2), torch.ones(token.shape[0], step.logits.shape[1], dtype=torch.float64))
            state = step.state.reorder(torch.tensor([[0, 0]] if t == 0 else [[0, 1]]).expand(len(token), -1))
            if t == 1:
                state, target, expected = state.keep(kept), target[kept], expected[kept]


@EVERY_KIND
def test_padding_and_other_sentences_change_nothing(seed, kind):
    model, sentences = build(kind), draw_sentences()
    together = model(*sentences)
    for row, (source, target) in enumerate(sentences.one_by_one()):
        alone = model(torch.tensor([source]), torch.tensor([len(source)]), torch.tensor([target]))
        assert_same(together[row], alone[0])


@EVERY_KIND
def test_the_loss_in_blocks_is_that_in_one(seed, monkeypatch, kind):
    """Its gradients too, and every parameter has one."""
    model, (source, lengths, target, labels) = build(kind), drawn()
    assert isinstance(model, Likelihood)
    labels = labels.clone()  # which the target shares
    labels[0, -1] = labels[1, -2:] = IGNORE_INDEX
    asked = labels != IGNORE_INDEX
    objective = Objective(model, label_smoothing=0.1, never=0)
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss_and_gradients():
        loss = objective(labels, source, lengths, target)
        return loss, *torch.autograd.grad(loss, parameters)

    at_once = loss_and_gradients()
    log_probs = model(source, lengths, target).gather(2, labels.where(asked, 0)[:, :, None]).squeeze(2)
    assert_same(at_once[0], -log_probs[asked].sum())
    assert [name for name, gradient in zip(names, at_once[1:], strict=True) if not gradient.any()] == []
    monkeypatch.setattr(emission, "NUMBERS_AT_A_TIME", 1)
    for blocks, one in zip(loss_and_gradients(), at_once, strict=True):
        assert_same(blocks, one)
    assert_same(model(source, lengths, target).gather(2, labels.where(asked, 0)[:, :, None]).squeeze(2), log_probs)


@EVERY_KIND
def test_gradients_are_those_of_finite_differences(seed, kind):
    model, (source, lengths, target, labels) = build(kind), drawn()
    name = "decoder.transitions.score.key.weight" if kind[1] == 0 else "decoder.transitions.key.weight"

    def loss(weight):
        objective = Objective(model, label_smoothing=0.0, never=None)
        return torch.func.functional_call(objective, {f"model.{name}": weight}, (labels, source, lengths, target))

    weight = model.get_parameter(name).detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, weight, fast_mode=True)


@pytest.mark.parametrize("order", [0, 1])
def test_a_monotonic_attention_never_goes_back(seed, order):
    """However the weights are drawn: what is behind the first possible place has no probability, exactly."""
    model, (source, lengths, target, _) = build(("hard-monotonic", order)), drawn()
    with torch.no_grad():
        memory = model.encode(source, lengths)
        transitions = model.decoder.transitions
        states = model.decoder.features(memory, target)
        tables = transitions.tables(states, transitions.keys(memory.outputs), lengths)
        long = int(lengths.argmax())
        before = torch.full((3, SOURCE), -1e30, dtype=torch.float64)
        before[:, 2] = 0.0
        after = transitions.prior(before, tables[:, 0]).exp()
        assert after[long, :2].tolist() == [0.0, 0.0]
        assert (after[long, 2:] > 0).all()


def test_a_posterior_is_what_a_latent_attention_has(seed):
    assert isinstance(build(KINDS[0]), LatentAttention)
