"""Every recurrent model of the presets, small, in float64, and padded batches for them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from papers import Variant
from torch import Tensor

from attentio.config.schema import ModelConfig
from attentio.models import presets
from attentio.models.encoder_decoder import EncoderDecoder

SOURCE_VOCABULARY, TARGET_VOCABULARY = 23, 19
SOURCE, TARGET = 11, 5  # tokens of the longest sentence, and of every target

BAHDANAU = Variant("bahdanau", "concat")
LUONG = [
    Variant("luong", score, local, input_feeding, reach=7 if score == "location" else 127)
    for score in ("dot", "general", "concat", "location")
    for local in (None, "m", "p")
    for input_feeding in (True, False)
]
BAHDANAU_FROM_STATE = Variant("bahdanau", "concat", readout="state")
VARIANTS = [Variant("plain"), BAHDANAU, BAHDANAU_FROM_STATE, Variant("delayed"), *LUONG]
ATTENTIVE = VARIANTS[1:]
LOOPED = [variant for variant in VARIANTS if variant.input_feeding or variant.paper == "bahdanau"]


def build(variant: Variant, *, cell="lstm", layers=(1, 1), dropout=0.0) -> EncoderDecoder:
    """`layers` of encoder and decoder. The weights are drawn wide, so that nothing is nearly linear."""
    needs_equal_sizes = variant.score == "dot" and variant.paper != "plain"
    config = ModelConfig(
        embedding=5,
        hidden=6 if needs_equal_sizes else 7,
        encoder_hidden=3,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        cell=cell,
        dropout=dropout,
        **of_the_paper(variant),
    )
    encoder = presets.recurrent_encoder(config, vocabulary=SOURCE_VOCABULARY)
    model = getattr(presets, variant.paper)(config, encoder, vocabulary=TARGET_VOCABULARY)
    for parameter in model.double().parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def of_the_paper(variant: Variant) -> dict[str, Any]:
    """The keys of the configuration that only Luong's model or Bahdanau's reads."""
    keys = ("score", "local", "window", "input_feeding", "reach", "readout")
    return {key: getattr(variant, key) for key in keys}


class Sentences(NamedTuple):
    """A batch of sentences of different lengths; what stands at the padding is drawn as everything else."""

    source: Tensor
    lengths: Tensor
    target: Tensor

    def one_by_one(self) -> Iterator[tuple[list[int], list[int]]]:
        """Source without padding, and target, of each sentence."""
        for source, length, target in zip(self.source, self.lengths.tolist(), self.target, strict=True):
            yield source[:length].tolist(), target.tolist()


def draw_sentences() -> Sentences:
    """Three: one of a single token, one that fills the batch, and one between, in any order."""
    lengths = torch.tensor([1, SOURCE, int(torch.randint(2, SOURCE, ()))])[torch.randperm(3)]
    source = torch.randint(SOURCE_VOCABULARY, (3, SOURCE))
    return Sentences(source, lengths, torch.randint(TARGET_VOCABULARY, (3, TARGET)))


def assert_same(got: Tensor, expected: Tensor) -> None:
    """Equal but for the rounding of float64."""
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
