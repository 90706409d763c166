"""The edit transducer beside the sum over every sequence of edits, one at a time."""

import math

import pytest
import torch
from small_models import assert_same

from attentio.config.schema import ModelConfig
from attentio.data.batches import IGNORE_INDEX
from attentio.layers import edits
from attentio.layers.edits import arriving, passing
from attentio.layers.transitions import FAR
from attentio.models import presets
from attentio.models.protocols import LatentAttention, Likelihood, StepDecoder
from attentio.training.loss import Objective

END, VOCABULARY, SOURCE_VOCABULARY, SOURCE, TARGET = 2, 7, 11, 5, 3
COPIES = torch.tensor([-1, -1, -1, 3, 4, 5, 3, 4, 5, -1, -1])


def build(**options):
    config = ModelConfig(
        attention="transducer", **{"embedding": 5, "hidden": 7, "encoder_hidden": 3, "dropout": 0.0, **options}
    )
    encoder = presets.recurrent_encoder(config, vocabulary=SOURCE_VOCABULARY)
    model = presets.transducer(config, encoder, vocabulary=VOCABULARY, end=END, copies=COPIES).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def drawn():
    """Sources of 5, 1 and 3 tokens; what is read to say the labels; the labels, the last of one being the end."""
    lengths = torch.tensor([SOURCE, 1, 3])[torch.randperm(3)]
    said = torch.randint(3, VOCABULARY - 1, (3, TARGET + 1))
    said[int(torch.randint(3, ())), -1] = END
    return torch.randint(SOURCE_VOCABULARY, (3, SOURCE)), lengths, said[:, :-1], said[:, 1:]


class ByHand:
    """Every sequence of edits of one sentence, with its probability."""

    def __init__(self, model, source, target):
        memory = model.encode(source[None], torch.tensor([len(source)]))
        self.h, self.s = memory.outputs[0], model.decoder.features(memory, target[None])[0]
        self.copies = COPIES[source].tolist()
        self.parameters = dict(model.decoder.named_parameters())

    def edits(self, t, j):
        """The probability of each edit after t tokens at position j, by its name and token."""
        p, last = self.parameters, j == len(self.h) - 1
        hidden = torch.tanh(p["of_state.weight"] @ self.s[t] + p["of_memory.weight"] @ self.h[j])
        insert, substitute, silent = (
            p[f"{name}.weight"] @ hidden + p[f"{name}.bias"] for name in ("output", "substitution", "silent")
        )
        logits = {("insert", y): float(insert[y]) for y in range(VOCABULARY) if last or y != END}
        if not last:
            logits |= {("substitute", y): float(substitute[y]) for y in range(VOCABULARY) if y != END}
            logits["delete", None] = float(silent[0])
            if self.copies[j] != -1:
                logits["copy", self.copies[j]] = float(silent[1])
        total = sum(map(math.exp, logits.values()))
        return {edit: math.exp(logit) / total for edit, logit in logits.items()}

    def sequences(self, said, t=0, j=0, places=(), probability=1.0):
        """All that say these tokens, up to the edit that says the last: where each is said, and the probability."""
        if t == len(said):
            yield places, probability
            return
        for (name, token), chance in self.edits(t, j).items():
            if token in (None, said[t]):
                speaks = name != "delete"
                yield from self.sequences(
                    said, t + speaks, j + (name != "insert"), (*places, j) if speaks else places, probability * chance
                )


def test_the_likelihood_is_the_sum_over_all_sequences_of_edits(seed):
    model, (source, lengths, target, labels) = build(), drawn()
    every = torch.ones_like(labels).bool()
    with torch.no_grad():
        found = model.log_probs(labels, every, source, lengths, target).cumsum(1)
        posteriors = model.posterior(source, lengths, target, labels, every)
        for row, length in enumerate(lengths.tolist()):
            hand, said = ByHand(model, source[row, :length], target[row]), labels[row].tolist()
            for n in range(1, TARGET + 1):
                total = sum(probability for _, probability in hand.sequences(said[:n]))
                assert float(found[row, n - 1]) == pytest.approx(math.log(total), rel=1e-9)
            expected = torch.zeros(TARGET, SOURCE, dtype=torch.float64)
            for places, probability in hand.sequences(said):
                expected[range(TARGET), list(places)] += probability / total
            assert_same(posteriors[row], expected)


def test_a_step_gives_the_same_as_all_at_once_whatever_a_search_does(seed):
    model, (source, lengths, target, labels) = build(decoder_layers=2), drawn()
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
            step = model.step(token if t == 0 else torch.cat([(token + 1) % VOCABULARY, token], 1), state)
            assert_same(step.logits[:, -1], expected[:, t])
            assert_same(step.weights.sum(2), torch.ones(token.shape[0], step.logits.shape[1], dtype=torch.float64))
            state = step.state.reorder(torch.tensor([[0, 0]] if t == 0 else [[0, 1]]).expand(len(token), -1))
            if t == 1:
                state, target, expected = state.keep(kept), target[kept], expected[kept]


def test_the_end_is_said_at_the_end_of_the_source_alone(seed):
    model, (source, lengths, target, labels) = build(), drawn()
    labels[:, -1] = END
    with torch.no_grad():
        looked = model.posterior(source, lengths, target, labels, torch.ones_like(labels).bool())
    assert_same(looked[:, -1], torch.nn.functional.one_hot(lengths - 1, SOURCE).double())


def test_padding_and_other_sentences_change_nothing(seed):
    model, (source, lengths, target, labels) = build(), drawn()
    asked = torch.rand(labels.shape).argsort(1) > 0
    log_probs = model.log_probs(labels, asked, source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone = source[one, :length], lengths[one], target[one]
        assert_same(model(*alone)[0], model(source, lengths, target)[row])
        assert_same(model.log_probs(labels[one], asked[one], *alone)[0], log_probs[row])


def test_the_loss_in_blocks_is_that_in_one(seed, monkeypatch):
    """Its gradients too, and every parameter has one."""
    model, (source, lengths, target, labels) = build(), drawn()
    assert isinstance(model, Likelihood)
    assert isinstance(model, LatentAttention)
    source[:, 0], labels[:, 0] = 3, COPIES[3]  # something is copied
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
    monkeypatch.setattr(edits, "NUMBERS_AT_A_TIME", 1)
    for blocks, one in zip(loss_and_gradients(), at_once, strict=True):
        assert_same(blocks, one)
    assert_same(model(source, lengths, target).gather(2, labels.where(asked, 0)[:, :, None]).squeeze(2), log_probs)


def test_first_and_second_gradients_are_those_of_finite_differences(seed):
    model, (source, lengths, target, labels) = build(), drawn()
    objective = Objective(model, label_smoothing=0.0, never=None)

    def loss(weight):
        named = {"model.decoder.silent.weight": weight}
        return torch.func.functional_call(objective, named, (labels, source, lengths, target))

    weight = model.decoder.silent.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, weight, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, weight, fast_mode=True)


def test_a_walk_over_a_long_source_keeps_its_precision_in_32_bits(seed):
    """Deletions that are next to impossible, so that the logarithm of the way past them all is far below zero."""
    count = 211
    delete, stay, go_on = (-60 * torch.rand(3, count)).unbind(0)
    delete[-1] = FAR
    before = torch.full((count,), FAR)
    before[[0, count // 2]] = math.log(0.5)
    passed = passing(before, delete)
    after, log_prob = arriving(passed, stay, go_on)
    walked, here = [], 0.0
    for j in range(count):
        here = here * math.exp(delete[j - 1]) * (j > 0) + math.exp(before[j])
        walked.append(here)
    for j in (0, 1, count // 2, count // 2 + 1):
        assert float(passed[j]) == pytest.approx(math.log(walked[j]), abs=1e-4)
    go_on[-1] = FAR
    total = sum(v * (math.exp(i) + math.exp(s)) for v, i, s in zip(walked, stay, go_on, strict=True))
    assert float(log_prob) == pytest.approx(math.log(total), abs=1e-4)
    assert float(after.logsumexp(0)) == pytest.approx(0.0, abs=1e-4)
