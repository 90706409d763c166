"""Capture of attentio's own models and of nn.Transformer, trained or decoding."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attentio as at
from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.presets import bahdanau, delayed, luong, recurrent_encoder
from attentio.models.transformer_presets import causal_lm, masked_lm, transformer_decoder, transformer_encoder

BATCH, SOURCE, TARGET, VOCABULARY = 2, 7, 5, 29
CLOSE = {"atol": 6e-4, "rtol": 1e-3}


def _config(**more: Any) -> ModelConfig:
    sizes = TransformerConfig(width=24, heads=6, feed_forward=13, max_length=31, **more)
    return ModelConfig(encoder_layers=2, decoder_layers=2, transformer=sizes)


def _translator(**more: Any) -> EncoderDecoder:
    encoder = transformer_encoder(_config(**more), vocabulary=VOCABULARY)
    decoder = transformer_decoder(_config(**more), vocabulary=VOCABULARY, memory_features=24)
    return EncoderDecoder(encoder, decoder).eval()


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    tokens = torch.randint(VOCABULARY, (BATCH, SOURCE)), torch.randint(VOCABULARY, (BATCH, TARGET))
    return tokens[0], torch.tensor([SOURCE, 4]), tokens[1]


KINDS = [
    {},
    {"positions": "alibi", "window": 2},
    {"positions": "rotary", "key_value_heads": 2, "norm": "rms", "pre_norm": True},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
@torch.no_grad()
def test_transformers_of_attentio_show_what_they_return_when_asked(seed: int, options: dict[str, Any]) -> None:
    model, (source, lengths, target) = _translator(**options), _batch()
    before = model(source, lengths, target)
    with at.capture(model) as seen:
        during = model(source, lengths, target)
    assert torch.equal(during, before)
    memory = model.encode(source, lengths)
    encoder = model.encoder.attention(source, lengths)
    decoder = model.decoder.attention(memory, target)
    expected = {f"encoder.stack.blocks.{n}.self_attention": one.own for n, one in enumerate(encoder)}
    for n, one in enumerate(decoder):
        expected[f"decoder.stack.blocks.{n}.self_attention"] = one.own
        expected[f"decoder.stack.blocks.{n}.cross_attention"] = one.cross
    assert seen.names == list(expected)
    for one in seen:
        assert one.kind == one.name.rpartition(".")[2].removesuffix("_attention")
        torch.testing.assert_close(one.weights.float(), expected[one.name], **CLOSE)


@pytest.mark.parametrize("options", KINDS, ids=str)
@torch.no_grad()
def test_decoding_step_by_step_shows_the_rows_of_the_whole(seed: int, options: dict[str, Any]) -> None:
    model, (source, lengths, target) = _translator(**options), _batch()
    with at.capture(model, layers="decoder", parts=True) as whole:
        model(source, lengths, target)
    with at.capture(model, layers="decoder", parts=True) as seen:
        state = model.start(model.encode(source, lengths))
        for column in target.split(1, dim=1):
            state = model.step(column, state).state
    assert [one.q_start for one in seen.of("decoder.stack.blocks.1.cross_attention")] == list(range(TARGET))
    joined = seen.joined()
    assert joined.names == whole.names
    for one, other in zip(joined, whole, strict=True):
        assert (one.q_start, one.keys) == (0, other.keys)
        torch.testing.assert_close(one.weights, other.weights, **CLOSE)
        for name in ("query", "key", "value"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=4e-3, rtol=1e-3)
        shape = one.weights.shape
        allowed = torch.ones(shape, dtype=torch.bool) if other.allowed is None else other.allowed.expand(shape)
        assert one.allowed is not None
        assert torch.equal(one.allowed.expand(shape), allowed)


@pytest.mark.parametrize("make", [bahdanau, luong, delayed])
@torch.no_grad()
def test_a_recurrent_decoder_gives_one_row_a_step(seed: int, make: Any) -> None:
    config = ModelConfig(embedding=5, hidden=8, encoder_hidden=4, dropout=0.0)
    encoder = recurrent_encoder(config, vocabulary=VOCABULARY)
    model, (source, lengths, target) = make(config, encoder, vocabulary=VOCABULARY), _batch()
    with at.capture(model) as seen:
        model(source, lengths, target)
    state, rows = model.start(model.encode(source, lengths)), []
    for column in target.split(1, dim=1):
        step = model.step(column, state)
        state = step.state
        rows.append(step.weights)
    (one,) = seen.joined()
    assert (one.name, one.kind, one.heads) == ("decoder.attention", "cross", (0,))
    torch.testing.assert_close(one.weights[:, 0].float(), torch.cat(rows, dim=1), **CLOSE)


@torch.no_grad()
def test_language_models_of_attentio(seed: int) -> None:
    tokens, lengths = torch.randint(VOCABULARY, (BATCH, SOURCE)), torch.tensor([SOURCE, 3])
    masked = masked_lm(_config(), vocabulary=VOCABULARY).eval()
    with at.capture(masked) as seen:
        masked(tokens, lengths)
    for one, weights in zip(seen, masked.attention(tokens, lengths), strict=True):
        torch.testing.assert_close(one.weights.float(), weights.own, **CLOSE)
    causal = causal_lm(_config(), vocabulary=VOCABULARY).eval()
    with at.capture(causal) as seen:
        state = causal.start(tokens[:, :4])
        for column in tokens[:, 4:].split(1, dim=1):
            state = causal.step(column, state).state
    for one, weights in zip(seen.joined(), causal.attention(tokens), strict=True):
        torch.testing.assert_close(one.weights.float(), weights.own[:, :, one.q_start :], **CLOSE)


class _Taps:
    """Asks every nn.MultiheadAttention of a model for its weights."""

    def __init__(self, model: nn.Module) -> None:
        self.weights: dict[str, Tensor] = {}
        for name, module in model.named_modules():
            if isinstance(module, nn.MultiheadAttention):
                module.register_forward_pre_hook(self._ask, with_kwargs=True)
                module.register_forward_hook(lambda m, a, out, name=name: self.weights.update({name: out[1]}))

    def _ask(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, "need_weights": True, "average_attn_weights": False}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_torchs_transformer_with_padding_and_causal_masks(seed: int, training: bool) -> None:
    model = nn.Transformer(24, 6, 2, 2, 13, dropout=0.0, batch_first=True).train(training)
    padding = torch.arange(SOURCE) >= torch.tensor([SOURCE, 4])[:, None]
    inputs = torch.randn(BATCH, SOURCE, 24), torch.randn(BATCH, TARGET, 24)
    options = {
        "tgt_mask": torch.ones(TARGET, TARGET, dtype=torch.bool).triu(1),
        "src_key_padding_mask": padding,
        "memory_key_padding_mask": padding,
    }
    before = model(*inputs, **options)
    with at.capture(model) as seen:
        during = model(*inputs, **options)
    torch.testing.assert_close(during, before)
    taps = _Taps(model)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        model(*inputs, **options)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert set(seen.names) == set(taps.weights)
    for one in seen:
        torch.testing.assert_close(one.weights.float(), taps.weights[one.name], **CLOSE)


def test_weights_in_training_are_from_before_dropout(seed: int) -> None:
    inputs = torch.randn(BATCH, SOURCE, 24)
    layer = nn.TransformerEncoderLayer(24, 6, 13, dropout=0.5, batch_first=True).train()
    attention = nn.MultiheadAttention(24, 6, dropout=0.5, batch_first=True).train()
    ours = at.MultiheadAttention.from_torch(attention).train()
    for module, arguments in ((layer, 1), (attention, 3), (ours, 3)):
        with at.capture(module) as seen:
            module(*[inputs] * arguments)
        assert (seen[0].weights > 0).all()
        torch.testing.assert_close(seen[0].weights.float().sum(-1), torch.ones(BATCH, 6, SOURCE), atol=2e-3, rtol=0)


def test_dropout_draws_the_same_numbers_under_capture(seed: int) -> None:
    model, inputs = nn.TransformerEncoderLayer(24, 6, 13, dropout=0.5, batch_first=True).train(), torch.randn(3, 7, 24)
    torch.manual_seed(seed)
    before = model(inputs)
    torch.manual_seed(seed)
    with at.capture(model):
        during = model(inputs)
    assert torch.equal(before, during)
