"""Runs that were never trained: models of every kind, with weights drawn wide, over letters and spaces."""

from pathlib import Path
from typing import Any

import torch

from attentio.commands.build import Tokenizers, build_model
from attentio.commands.causal_run import CausalRun
from attentio.commands.masked_run import MaskedRun
from attentio.commands.options import Config, DataConfig, DecodingConfig, ModelConfig, TransformerConfig
from attentio.commands.run import Run
from attentio.text.tokenizer import Tokenizer

LETTERS = "abcdefgh 안녕"
SMALL = TransformerConfig(width=24, heads=3, feed_forward=13, positions="rotary")


def untrained(**model: Any) -> Any:
    """A run whose `model` has these options, with three letters for any word that it translates."""
    kind = model.get("type", "encoder-decoder")
    sizes = {"embedding": 10, "hidden": 14, "encoder_hidden": 7, "dropout": 0.2, "transformer": SMALL}
    config = Config(
        name="untrained",
        data=DataConfig(train="", dev=""),
        model=ModelConfig(**{**sizes, **model}),
        decoding=DecodingConfig(max_length_ratio=0.5),
    )
    tokenizer = Tokenizer.train([LETTERS], kind="char", mask=kind == "masked-lm")
    tokenizers = Tokenizers(tokenizer, tokenizer)
    built = build_model(config.model, tokenizers, seed=int(torch.randint(2**31, ())))
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    if kind == "encoder-decoder":
        return Run(Path("untrained"), config, tokenizers, built)
    return (MaskedRun if kind == "masked-lm" else CausalRun)(Path("untrained"), config, tokenizer, built)
