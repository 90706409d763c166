"""The one place where the configuration becomes objects."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from attentio.commands.options import Config, ModelConfig, SideConfig
from attentio.data.pairs import Pair
from attentio.errors import AttentioError
from attentio.models.causal_lm import CausalLM
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.masked_lm import MaskedLM
from attentio.models.presets import Encoder, Sizes, bahdanau, delayed, luong, plain, recurrent_encoder
from attentio.models.transformer import TransformerEncoder
from attentio.models.transformer_presets import (
    TransformerSizes,
    causal_lm,
    masked_lm,
    transformer_decoder,
    transformer_encoder,
)
from attentio.text.tokenizer import Tokenizer

Model = EncoderDecoder | MaskedLM | CausalLM


class Tokenizers(NamedTuple):
    """Of the two sides; the same one twice where the vocabulary is shared, and for a language model."""

    source: Tokenizer
    target: Tokenizer

    def save(self, folder: Path) -> None:
        """Write one file for each different tokenizer."""
        folder.mkdir(exist_ok=True)
        self.source.save(folder / "source.json")
        if self.target is not self.source:
            self.target.save(folder / "target.json")

    @classmethod
    def load(cls, folder: Path, config: Config) -> "Tokenizers":
        """Read what `save` wrote for this configuration; AttentioError as `Tokenizer.load`."""
        source = Tokenizer.load(folder / "source.json")
        shared = config.text.shared or config.model.type != "encoder-decoder"
        return cls(source, source if shared else Tokenizer.load(folder / "target.json"))


def build_tokenizers(config: Config, pairs: Sequence[Pair]) -> Tokenizers:
    """Learn the vocabularies from the training pairs."""
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    if config.text.shared:
        both = _learn(config.text.source, sources + targets)
        return Tokenizers(both, both)
    return Tokenizers(_learn(config.text.source, sources), _learn(config.text.target, targets))


def build_text_tokenizer(config: Config, documents: Sequence[str]) -> Tokenizers:
    """Learn the vocabulary of a language model."""
    one = _learn(config.text.source, documents, mask=config.model.type == "masked-lm")
    return Tokenizers(one, one)


def _learn(side: SideConfig, texts: Sequence[str], *, mask: bool = False) -> Tokenizer:
    return Tokenizer.train(texts, kind=side.tokenizer, vocab_size=side.vocab_size, jamo=side.jamo, mask=mask)


def build_model(config: ModelConfig, tokenizers: Tokenizers, *, seed: int) -> Model:
    """A fresh model, its first weights a function of the seed."""
    torch.manual_seed(seed)
    vocabulary = tokenizers.source.size
    try:
        if config.type == "masked-lm":
            return masked_lm(_transformer_sizes(config), vocabulary=vocabulary, layers=config.encoder_layers)
        if config.type == "causal-lm":
            return causal_lm(_transformer_sizes(config), vocabulary=vocabulary, layers=config.decoder_layers)
        encoder = _encoder(config, tokenizers)
        return _with_decoder(config, tokenizers, encoder)
    except ValueError as error:  # sizes that do not go together
        raise AttentioError(f"model: {error}") from None


def _encoder(config: ModelConfig, tokenizers: Tokenizers) -> Encoder:
    if config.encoder == "recurrent":
        return recurrent_encoder(_recurrent_sizes(config, tokenizers))
    return transformer_encoder(
        _transformer_sizes(config), vocabulary=tokenizers.source.size, layers=config.encoder_layers
    )


def _with_decoder(config: ModelConfig, tokenizers: Tokenizers, encoder: Encoder) -> EncoderDecoder:
    if config.decoder == "transformer":
        shared = None
        one_vocabulary = tokenizers.target is tokenizers.source and config.transformer.tied
        if one_vocabulary and isinstance(encoder, TransformerEncoder):
            shared = encoder.embedding.tokens
        decoder = transformer_decoder(
            _transformer_sizes(config),
            vocabulary=tokenizers.target.size,
            layers=config.decoder_layers,
            memory_features=encoder.features,
            tokens=shared,
        )
        return EncoderDecoder(encoder, decoder)
    sizes = _recurrent_sizes(config, tokenizers)
    if config.attention != "luong":
        return {"none": plain, "bahdanau": bahdanau, "delayed": delayed}[config.attention](sizes, encoder)
    return luong(
        sizes,
        encoder,
        score=config.score,
        local=config.local,
        window=config.window,
        input_feeding=config.input_feeding,
        reach=config.reach,
    )


def _recurrent_sizes(config: ModelConfig, tokenizers: Tokenizers) -> Sizes:
    return Sizes(
        source_vocabulary=tokenizers.source.size,
        target_vocabulary=tokenizers.target.size,
        embedding=config.embedding,
        hidden=config.hidden,
        encoder_hidden=config.hidden // 2 if config.encoder_hidden is None else config.encoder_hidden,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        cell=config.cell,
        dropout=config.dropout,
    )


def _transformer_sizes(config: ModelConfig) -> TransformerSizes:
    return TransformerSizes(**dataclasses.asdict(config.transformer), dropout=config.dropout)
