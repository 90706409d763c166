"""A masked model may be trained with more holes than it is asked."""

import torch
from torch import Tensor

from attentio.config.read import load_config
from attentio.config.schema import Config
from attentio.data.batches import IGNORE_INDEX
from attentio.data.part import read_part
from attentio.runs import masked
from attentio.training.loop import Corpus


def labels(corpus: Corpus) -> Tensor:
    """Those that are asked for."""
    every = torch.cat([corpus.load(rows, 0).labels.flatten() for rows in corpus.epoch_batches(0)])
    return every[every != IGNORE_INDEX]


def test_training_has_its_own_rate_and_dev_and_test_are_asked_as_ever() -> None:
    def config(*options: str) -> Config:
        return load_config("masked-lm", ["--data.train", "dates:dev", *options])

    more, plain = config("--masking.training_rate", "0.6"), config()
    part = read_part(plain, "dates:dev")
    tokenizers = masked.learn(plain, part)
    asked = labels(masked.questions(more, part, tokenizers))
    assert torch.equal(asked, labels(masked.questions(plain, part, tokenizers)))
    assert torch.equal(asked, labels(masked.corpus(plain, part, tokenizers, seed=0)))
    ratio = len(labels(masked.corpus(more, part, tokenizers, seed=0))) / len(asked)
    assert 3.6 < ratio < 4.4, "four times as many holes"
