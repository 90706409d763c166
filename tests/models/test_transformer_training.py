"""What training relies on: logits, a loss a token, gradients everywhere, dropout only in training mode."""

import copy

import pytest
import torch
from small_models import assert_same, draw_sentences
from small_transformers import (
    SETTINGS,
    TARGET_VOCABULARY,
    VOCABULARY,
    build_causal_lm,
    build_encoder_decoder,
    build_masked_lm,
)
from torch.nn import functional as F

from attentio.training.cross_entropy import linear_cross_entropy

EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS, ids=str)


def models(setting, **options):
    """Each kind of model with the arguments of a call, and the size of its vocabulary."""
    sentences = draw_sentences()
    return [
        (build_encoder_decoder(setting, **options), tuple(sentences), TARGET_VOCABULARY),
        (build_masked_lm(setting, **options), (sentences.source, sentences.lengths), VOCABULARY),
        (build_causal_lm(setting, **options), (sentences.source,), VOCABULARY),
    ]


@EVERY_SETTING
def test_every_parameter_is_learnt(seed, setting):
    for model, arguments, _ in models(setting):
        model(*arguments).log_softmax(-1).square().sum().backward()
        without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []


@EVERY_SETTING
def test_models_return_logits_not_probabilities(seed, setting):
    """They are linear in the output layer: no softmax, nor its logarithm, has swallowed a factor (trap 16)."""
    for model, arguments, vocabulary in models(setting):
        features = model.features(*arguments)
        logits = model(*arguments)
        assert logits.shape == (*features.shape[:2], vocabulary)
        assert_same(logits, F.linear(features, model.output.weight, model.output.bias))
        assert not torch.allclose(logits.logsumexp(-1), torch.zeros(()).double())
    model, arguments, _ = models(setting)[0]
    with torch.no_grad():
        state = model.start(model.encode(*arguments[:2]))
        stepped = model.step(arguments[2][:, :1], state).logits
        model.output.bias += 3.0
        assert_same(model.step(arguments[2][:, :1], state).logits, stepped + 3.0)


@EVERY_SETTING
def test_dropout_acts_in_training_mode_only(seed, setting):
    for (model, arguments, _), (without, _, _) in zip(models(setting, dropout=0.3), models(setting), strict=True):
        without.load_state_dict(copy.deepcopy(model.state_dict()))
        with torch.no_grad():
            assert not torch.equal(model(*arguments), model(*arguments))
            model.eval()
            assert torch.equal(model(*arguments), model(*arguments))
            assert_same(model(*arguments), without(*arguments))


@EVERY_SETTING
def test_a_step_in_eval_mode_is_without_dropout(seed, setting):
    (model, arguments, _), _, (causal, (tokens,), _) = models(setting, dropout=0.3)
    model.eval(), causal.eval()
    with torch.no_grad():
        state = model.start(model.encode(*arguments[:2]))
        assert_same(model.step(arguments[2][:, :1], state).logits, model(*arguments)[:, :1])
        assert_same(causal.step(tokens[:, 4:5], causal.start(tokens[:, :4])).logits, causal(tokens)[:, 4:5])


@EVERY_SETTING
def test_the_loss_of_packed_documents_is_the_sum_of_their_losses(seed, setting):
    """Loss and gradients a token, however documents share rows (trap 14); padding asks for nothing (trap 13)."""
    model = build_causal_lm(setting)
    documents = [torch.randint(1, VOCABULARY, (n,)) for n in (5, 2, 7)]

    def loss_of(rows, labels, *layout):
        features, wanted = model.features(rows, *layout), labels != 0
        return linear_cross_entropy(features[wanted], model.output.weight, model.output.bias, labels[wanted], never=0)

    def gradients(loss):
        return torch.autograd.grad(loss, list(model.parameters()))

    apart = sum(loss_of(document[None, :-1], document[None, 1:]) for document in documents)
    row = torch.cat([*(document[:-1] for document in documents), torch.zeros(3).long()])
    labels = torch.cat([*(document[1:] for document in documents), torch.zeros(3).long()])
    counts = [len(document) - 1 for document in documents]
    segments = torch.tensor([i for i, n in enumerate(counts) for _ in range(n)] + [-1] * 3)
    positions = torch.tensor([p for n in counts for p in range(n)] + [0, 1, 2])
    together = loss_of(row[None], labels[None], segments[None], positions[None])
    assert_same(together, apart)
    for mine, theirs in zip(gradients(together), gradients(apart), strict=True):
        assert_same(mine, theirs)


@pytest.mark.parametrize(
    "setting",
    SETTINGS,
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")  # RMSNorm, of bfloat16
def test_every_model_trains_in_mixed_precision(seed, setting):
    for model, arguments, _ in models(setting):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.float()(*arguments)
        logits.float().log_softmax(-1).square().mean().backward()
        assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters())


def test_a_tied_output_layer_is_the_embedding(seed):
    for setting in (SETTINGS[0], SETTINGS[3]):
        for model, _, _ in models(setting):
            embedding = (model.decoder if hasattr(model, "decoder") else model).embedding
            assert (model.output.weight is embedding.tokens.weight) == setting.tied
