"""The one place where the configuration becomes objects."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from attentio.commands.config import Config, ModelConfig, SideConfig
from attentio.data.pairs import Pair
from attentio.errors import AttentioError
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.presets import Sizes, bahdanau, delayed, luong, plain
from attentio.text.tokenizer import Tokenizer


class Tokenizers(NamedTuple):
    """Of the two sides; the same one twice where the vocabulary is shared."""

    source: Tokenizer
    target: Tokenizer


def build_tokenizers(config: Config, pairs: Sequence[Pair]) -> Tokenizers:
    """Learn the vocabularies from the training pairs."""

    def learn(side: SideConfig, texts: list[str]) -> Tokenizer:
        return Tokenizer.train(texts, kind=side.tokenizer, vocab_size=side.vocab_size, jamo=side.jamo)

    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    if config.text.shared:
        both = learn(config.text.source, sources + targets)
        return Tokenizers(both, both)
    return Tokenizers(learn(config.text.source, sources), learn(config.text.target, targets))


def build_model(config: ModelConfig, tokenizers: Tokenizers, *, seed: int) -> EncoderDecoder:
    """A fresh model, its first weights a function of the seed."""
    torch.manual_seed(seed)
    sizes = Sizes(
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
    try:
        if config.attention != "luong":
            return {"none": plain, "bahdanau": bahdanau, "delayed": delayed}[config.attention](sizes)
        return luong(
            sizes,
            score=config.score,
            local=config.local,
            window=config.window,
            input_feeding=config.input_feeding,
            reach=config.reach,
        )
    except ValueError as error:  # sizes that do not go together
        raise AttentioError(f"model.{config.attention}: {error}") from None
