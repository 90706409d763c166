"""Runs that were never trained: models of every kind, with weights drawn wide, over letters and spaces."""

from pathlib import Path
from typing import Any

import torch

from attentio.config.schema import Config, DataConfig, DecodingConfig, ModelConfig, TransformerConfig
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.tasks import TASKS
from attentio.text.tokenizer import Tokenizer

LETTERS = "abcdefgh 안녕"
SMALL = TransformerConfig(width=24, heads=3, feed_forward=13, positions="rotary")


def untrained(*, tokenizer: Tokenizer | None = None, source: Tokenizer | None = None, **model: Any) -> Any:
    """A run whose `model` has these options, with three letters for any word that it translates.

    tokenizer: of both sides; None for one of characters. source: of the source, where it has another.
    """
    kind = model.get("type", "encoder-decoder")
    sizes = {"embedding": 10, "hidden": 14, "encoder_hidden": 7, "dropout": 0.2, "transformer": SMALL}
    config = Config(
        name="untrained",
        data=DataConfig(train="", dev=""),
        model=ModelConfig(**{**sizes, **model}),
        decoding=DecodingConfig(max_length_ratio=0.5),
    )
    tokenizer = tokenizer or Tokenizer.train([LETTERS], kind="char", mask=kind == "masked-lm")
    tokenizers = Tokenizers(source or tokenizer, tokenizer)
    task = TASKS[kind]
    built = task.blueprint.build_model(config.model, tokenizers, seed=int(torch.randint(2**31, ())))
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return task.run_class.of(Contents(Path("untrained"), config, tokenizers, built))
