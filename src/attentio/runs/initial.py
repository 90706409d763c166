"""The weights that a training begins with, taken from a trained model by name and shape."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from attentio import system
from attentio.config.read import leaves
from attentio.config.schema import Config
from attentio.config.uses import without_use
from attentio.data.batches import IGNORE_INDEX
from attentio.data.part import Part
from attentio.data.spool import TextsOf
from attentio.errors import AttentioError
from attentio.runs.build import Tokenizers
from attentio.runs.directory import Contents
from attentio.runs.load import read
from attentio.runs.own_code import Files
from attentio.runs.tasks import task_of
from attentio.text.featured import FeaturedTokenizer
from attentio.text.protocol import AnyTokenizer

if TYPE_CHECKING:
    from attentio.training.loop import Corpus

REPORT = "init.json"
"""Where a run keeps what it began with."""

NOISE = 0.1
"""Deviation of a new row from the mean of the known ones, relative to theirs."""

_MATTERS_NOT = ("model.type", "model.dropout")


class Initial(NamedTuple):
    """What became of the weights, by name.

    taken: numbers of each. grown: rows that were added to each. new, left_out: why. symbols: that were added to the
    vocabularies. otherwise: keys of the model that do not show in shapes, and differ.
    """

    origin: str
    taken: dict[str, int]
    grown: dict[str, int]
    new: dict[str, str]
    left_out: dict[str, str]
    symbols: list[str]
    otherwise: list[str]

    def write(self, folder: Path) -> None:
        """Into the run directory."""
        content = json.dumps(self._asdict(), indent=1, ensure_ascii=False)
        system.replace_text(folder / REPORT, content + "\n")


def read_origin(init: str, allow_code: Files) -> Contents:
    """The model that training begins with; AttentioError where it lacks a token that its kind of model needs."""
    found = read(init, device="cpu", allow_code=allow_code)
    task_of(found.config).run_class.of(found)
    return found


def take_weights(origin: Contents, contents: Contents) -> Initial:
    """Fill a fresh model with the weights of another that have the same name and shape.

    Entries that were added to a vocabulary get rows of the mean of the known ones, each with noise of its own.

    Raises AttentioError where nothing fits.
    """
    theirs = dict(origin.model.named_parameters(remove_duplicate=False))
    sides = zip(_vocabularies(origin.tokenizers), _vocabularies(contents.tokenizers), strict=True)
    vocabularies = {(old, new): special for (old, special), (new, _) in sides if old < new}
    taken, grown, new, left_out, used = {}, {}, {}, {}, set()
    other_labels = not _begins_with(contents.tokenizers.target, origin.tokenizers.target)
    for name, parameter in contents.model.named_parameters():
        known = theirs.get(name)
        if known is None:
            told = "not there"
            new[name] = told
            continue
        if other_labels and name.startswith("labels."):
            told = "of other labels there"
            new[name] = left_out[name] = told
            continue
        rows = (len(known), len(parameter))
        if known.shape == parameter.shape:
            weights, taken[name] = known, known.numel()
        elif known.shape[1:] == parameter.shape[1:] and rows in vocabularies:
            weights = _grown(known, rows[1] - rows[0], special=vocabularies[rows])
            taken[name], grown[name] = known.numel(), rows[1] - rows[0]
        else:
            told = f"{list(known.shape)} there, {list(parameter.shape)} here"
            new[name] = left_out[name] = told
            continue
        used.add(id(known))
        with torch.no_grad():
            parameter.copy_(weights)
    if not taken:
        raise AttentioError(f"init: no weights of {origin.path} have a name and shape of this model; give another run")
    for name, known in origin.model.named_parameters():
        if id(known) not in used:
            told = "not here"
            left_out.setdefault(name, told)
    symbols = added(origin.tokenizers, contents.tokenizers)
    return Initial(str(contents.config.init), taken, grown, new, left_out, symbols, _otherwise(origin, contents))


def _begins_with(tokenizer: AnyTokenizer, known: AnyTokenizer) -> bool:
    """Whether the entries of a vocabulary begin with those of another."""
    return tokenizer.tokens(range(min(known.size, tokenizer.size))) == known.tokens(range(known.size))


def added(known: Tokenizers[AnyTokenizer], extended: Tokenizers[AnyTokenizer]) -> list[str]:
    """The symbols that the vocabularies of one have on top of those of the other, where they go on from these."""
    found: dict[str, None] = {}
    for old, new in ((known.source, extended.source), (known.target, extended.target)):
        if not _begins_with(new, old):  # such as labels, which a language model has none of
            continue
        there = {*old.tokens(range(old.size))}
        found |= dict.fromkeys(token for token in new.tokens(range(new.size)) if token not in there)
    return [*found]


def lacking(config: Config, train: Part, tokenizers: Tokenizers[AnyTokenizer]) -> list[str]:
    """The symbols of the training data that the vocabularies do not know."""
    if config.text.source.tokenizer == "pretrained":  # which takes no more of them
        return list(dict.fromkeys(_unknown(train, tokenizers)))
    extending = replace(config, text=replace(config.text, extend=True))
    return added(tokenizers, task_of(config).keep(extending, train, tokenizers))


def _unknown(train: Part, tokenizers: Tokenizers[AnyTokenizer]) -> Iterator[str]:
    """What of the training data becomes an unknown token, in order."""
    pairs = train.unit == "pairs"
    for place, tokenizer in enumerate([tokenizers.source, tokenizers.target][: 1 + pairs]):
        for text in TextsOf(train.items, place) if pairs else train.items:
            for start, stop in tokenizer.unknown_spans(text):
                yield text[start:stop]


def check_known(corpus: "Corpus", tokenizers: Tokenizers[AnyTokenizer], config: Config) -> None:
    """AttentioError where most of the tokens to be learnt, in the first batch, are none of the vocabulary that is kept:
    that of the model that training begins with, or else of its teacher."""
    labels = corpus.load(corpus.epoch_batches(0)[0], 0).labels
    target = tokenizers.target
    asked = [label for label in labels.flatten().tolist() if label not in (IGNORE_INDEX, target.end)]
    unknown = asked.count(target.unknown)
    if 2 * unknown > len(asked):
        remedy = "learn its outputs with --training.distill sequences, or choose another teacher"
        if config.init:
            remedy = "add it with --text.extend true, or begin without this model"
        raise AttentioError(
            f"the vocabulary of {config.init or config.teacher} does not know {100 * unknown // len(asked)}% of what "
            f"is to be learnt; {remedy}"
        )


def _vocabularies(tokenizers: Tokenizers[AnyTokenizer]) -> list[tuple[int, int]]:
    """How many entries each has, and how many of these are special: of source and target, and of features."""
    source, special = tokenizers.source, [len(side.special_ids) for side in (tokenizers.source, tokenizers.target)]
    features = len(source.features) if isinstance(source, FeaturedTokenizer) else 0
    return [(source.size - features, special[0]), (tokenizers.target.size, special[1]), (features, 0)]


def _grown(known: Tensor, rows: int, *, special: int) -> Tensor:
    ordinary = known[special:]
    noise = torch.randn(rows, *known.shape[1:]) * ordinary.std(0, correction=0)
    return torch.cat([known, ordinary.mean(0) + NOISE * noise])


def _otherwise(origin: Contents, contents: Contents) -> list[str]:
    here, there = (dict(leaves({"model": asdict(each.config.model)})) for each in (contents, origin))
    notes: list[str] = []
    for key in here:
        if here[key] != there[key] and key not in _MATTERS_NOT and not without_use(origin.config, [key]):
            notes.append(f"{key} is {here[key]}, and the weights were trained with {there[key]}")
    return notes
