"""Every kind of Transformer, small, in float64, with drawn weights; and padded batches for them."""

import torch
from small_models import assert_same
from torch import nn
from transformer_papers import Setting

from attentio.config.schema import ModelConfig, TransformerConfig
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.masked_lm import MaskedLM
from attentio.models.transformer_presets import causal_lm, masked_lm, transformer_decoder, transformer_encoder

VOCABULARY, TARGET_VOCABULARY = 23, 19  # those of small_models

SETTINGS = [
    Setting(),
    Setting(heads=6, key_value_heads=2, positions="rotary", norm="rms", pre_norm=True, activation="swiglu"),
    Setting(heads=3, positions="alibi", window=2, activation="gelu-tanh"),
    Setting(positions="learned", pre_norm=True, embedding_norm=True, activation="gelu", tied=False),
    Setting(heads=6, key_value_heads=3, positions="alibi", norm="rms"),
    Setting(heads=4, key_value_heads=1, positions="rotary", window=3),
    Setting(heads=5, key_value_heads=1, positions="none", pre_norm=True, window=1),
    Setting(heads=2, positions="sinusoidal", window=4, norm="rms", tied=False),
    Setting(heads=4, key_value_heads=2, positions="t5", pre_norm=True),
]
"""Each value of each choice occurs, and each of positions, window and grouped queries with the others."""

QK_NORM = Setting(heads=4, key_value_heads=2, positions="rotary", qk_norm=True)
"""Which compiled loops leave to torch."""


def draw_setting() -> Setting:
    """Any combination; printed, so that a failure can be read."""

    def one(*choices):
        return choices[int(torch.randint(len(choices), ()))]

    heads, groups = one((3, None), (3, 1), (6, 2), (6, 3), (4, 2), (7, None), (8, 2))
    setting = Setting(
        heads=heads,
        key_value_heads=groups,
        norm=one("layer", "rms"),
        pre_norm=one(True, False),
        embedding_norm=one(True, False),
        activation=one("relu", "relu-squared", "gelu", "gelu-tanh", "swiglu"),
        positions=one("sinusoidal", "learned", "rotary", "alibi", "t5", "none"),
        window=one(None, 0, 1, 3, 20),
        tied=one(True, False),
    )
    print(f"setting = {setting}")
    return setting


def configured(setting: Setting, *, layers=(2, 2), dropout: float = 0.0) -> ModelConfig:
    """Four features a head: in twos, rotary pairs could not be taken the wrong way."""
    transformer = TransformerConfig(
        width=4 * setting.heads,
        heads=setting.heads,
        key_value_heads=setting.key_value_heads,
        feed_forward=13,
        norm=setting.norm,
        pre_norm=setting.pre_norm,
        embedding_norm=setting.embedding_norm,
        activation=setting.activation,
        positions=setting.positions,
        max_length=31,
        window=setting.window,
        tied=setting.tied,
        qk_norm=setting.qk_norm,
    )
    return ModelConfig(encoder_layers=layers[0], decoder_layers=layers[1], dropout=dropout, transformer=transformer)


def drawn(model):
    """The model in float64 with weights wide enough that nothing is nearly linear, and all biases at work."""
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def build_encoder_decoder(setting: Setting, *, layers=(2, 2), dropout: float = 0.0) -> EncoderDecoder:
    config = configured(setting, layers=layers, dropout=dropout)
    encoder = transformer_encoder(config, vocabulary=VOCABULARY)
    decoder = transformer_decoder(config, vocabulary=TARGET_VOCABULARY, memory_features=encoder.features)
    return drawn(EncoderDecoder(encoder, decoder))


def build_masked_lm(setting: Setting, *, layers: int = 2, dropout: float = 0.0) -> MaskedLM:
    return drawn(masked_lm(configured(setting, layers=(layers, layers), dropout=dropout), vocabulary=VOCABULARY))


def build_causal_lm(setting: Setting, *, layers: int = 2, dropout: float = 0.0) -> CausalLM:
    return drawn(causal_lm(configured(setting, layers=(layers, layers), dropout=dropout), vocabulary=VOCABULARY))


def follow(state, step, recompute, vocabulary, same=assert_same):
    """Branches, swaps and drops hypotheses at random, and after each token compares every one with itself read anew.

    recompute(sentence, prefixes): logits of the token after each of the prefixes [beam, n].
    same: what asserts that they are what `step` gave.
    """
    rows, beam = torch.arange(3), 1
    prefixes = torch.zeros(3, 1, 0, dtype=torch.long)
    for new_beam, kept in ((5, [2, 0, 1]), (2, [2, 0]), (7, [1, 0]), (3, [0, 1]), (2, [1])) * 3:
        for _ in range(int(torch.randint(1, 4, ()))):
            token = torch.randint(vocabulary, (len(rows), beam))
            logits, _, state = step(token, state)
            prefixes = torch.cat([prefixes, token.unsqueeze(2)], dim=2)
            for i, row in enumerate(rows.tolist()):
                same(logits[i], recompute(row, prefixes[i]))
        parents = torch.randint(beam, (len(rows), new_beam))
        kept = kept if len(rows) > max(kept) else [0]
        state = state.reorder(parents).keep(torch.tensor(kept))
        prefixes = prefixes.take_along_dim(parents.unsqueeze(2), dim=1)[kept]
        rows, beam = rows[kept], new_beam
        if prefixes.shape[2] > 19:
            return
