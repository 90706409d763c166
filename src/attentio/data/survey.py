"""What the data of a training look like, in numbers and lines for a person: many a model's mistakes are its data's."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from attentio.config.schema import Config, SideConfig
from attentio.data.part import Part
from attentio.data.spool import TextsOf
from attentio.text.features import FeaturesOf, WithoutFeatures
from attentio.text.jamo import decompose

_MOST_SHOWN = 20
"""Letters or words that are shown of those that the training data lack."""


class Survey(NamedTuple):
    """What was counted, in the training data and in the dev set ("" for not counted); and what to know of it."""

    rows: list[tuple[str, ...]]
    notes: list[str]


def survey(
    config: Config, train: Part, dev: Part, *, knows: Callable[[str, str], bool] = lambda side, symbol: False
) -> Survey:
    """Look at the data of a training, as they were read.

    knows: whether the model's vocabulary of a side (source, target, features, documents) has a letter or word that the
        training data lack, as one may that was kept, or learnt from other texts too.
    """
    unit, parts, where = train.unit, (train, dev), dev.name
    distinct = [_distinct(part.items) for part in parts]
    repeated = (len(part.items) - len(found) for part, found in zip(parts, distinct, strict=True))
    rows = [(unit, *_numbers(len(part.items) for part in parts)), (f"{unit} that are repeated", *_numbers(repeated))]
    notes = []
    if unit == "pairs":
        sources = [_distinct(TextsOf(part.items, 0)) for part in parts]
        others = (len(found) - len(each) for found, each in zip(distinct, sources, strict=True))
        rows.append(("repeated sources with other targets", *_numbers(others)))
        rows.append(("sources that are in train too", "", f"{int(np.isin(sources[1], sources[0]).sum()):,}"))
    shared = int(np.isin(_hashes(dev.items), distinct[0]).sum())
    rows.append((f"{unit} that are in train too", "", f"{shared:,}"))
    for what, side, texts in _sides(config, parts):
        known, asked = looked = [_look(each, side) for each in texts]
        rows.append((f"{what}: mean and most characters", *(f"{one.mean:,.1f}, {one.most:,}" for one in looked)))
        if side.tokenizer == "pretrained":  # whose entries are not those of the training data
            continue
        kind = "words" if side.tokenizer == "whitespace" else "letters"
        lacking = sorted(asked.symbols - known.symbols)
        rows.append((f"{what}: {kind} that train lacks", "", f"{len(lacking):,}"))
        if lacking := [symbol for symbol in lacking if not knows(what, symbol)]:
            shown = " ".join(map(repr, lacking[:_MOST_SHOWN])) + (" .." if len(lacking) > _MOST_SHOWN else "")
            notes.append(f"{where} has {kind} that a model of {train.name} cannot know, in the {what}: {shown}")
            if side is config.text.target and _is_single_words(texts[0], side):
                notes.append(
                    "each target is one word, and words are its tokens; --text.target.tokenizer char spells it"
                )
    if config.data.features and len(same := {*FeaturesOf(train.items)}) == 1:
        notes.append(
            f"every source of {train.name} has the same features, {same.pop()!r}, which tell a model nothing; "
            f"data.features is {config.data.features}, so look whether that column is meant, and whole"
        )
    trimmed, composed = ("texts with white space around them", "texts that are not in NFC")
    if config.text.normalize == "nfc":
        trimmed, composed = ("texts trimmed of white space", "texts composed (Unicode NFC)")
    rows.append((trimmed, *_numbers(part.trimmed for part in parts)))
    rows.append((composed, *_numbers(part.composed for part in parts)))
    if 2 * shared >= len(dev.items):
        told = f"{where} has {shared:,} of its {len(dev.items):,} {unit} from what is trained on, {train.name}"
        if np.array_equal(distinct[0], distinct[1]):
            told = f"{where} is what is trained on, {train.name}"
        notes.append(
            f"{told}: its scores tell what is remembered, not what is learnt; "
            f"without data.dev a part of the training data is held out"
        )
    return Survey(rows, notes)


def _numbers(counts: Iterable[int | None]) -> Iterable[str]:
    return ("" if count is None else f"{count:,}" for count in counts)


def _hashes(items: Iterable[Any]) -> Int[np.ndarray, "items"]:
    """64 bits for each, which stand for it: the items themselves may be more than the memory holds."""
    return np.fromiter(map(hash, items), np.int64)


def _distinct(items: Iterable[Any]) -> Int[np.ndarray, "distinct"]:
    """The different hashes, in ascending order."""
    hashes = _hashes(items)
    hashes.sort()  # where it is, as numpy's unique does not
    return hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])]


def _sides(config: Config, parts: tuple[Part, Part]) -> list[tuple[str, SideConfig, list[Iterable[str]]]]:
    """Each side of the pairs, or the documents: how it is called and tokenized, and its texts in each part."""
    text = config.text
    if parts[0].unit != "pairs":
        return [("documents", text.source, [part.items for part in parts])]
    of_target = SideConfig(tokenizer="whitespace") if config.model.type == "labeller" else text.of_target
    pairs = [WithoutFeatures(part.items) if part.featured else part.items for part in parts]
    sides = (("source", text.source), ("target", of_target))
    found: list[tuple[str, SideConfig, list[Iterable[str]]]] = [
        (name, side, [TextsOf(each, place) for each in pairs]) for place, (name, side) in enumerate(sides)
    ]
    if parts[0].featured:
        found.append(("features", SideConfig(tokenizer="whitespace"), [FeaturesOf(part.items) for part in parts]))
    return found


def _is_single_words(texts: Iterable[str], side: SideConfig) -> bool:
    """Whether words are the tokens and no text has two."""
    return side.tokenizer == "whitespace" and not any(text.split()[1:] for text in texts)


class _Look(NamedTuple):
    """symbols: what a vocabulary of the texts is made of. mean, most: characters of a text."""

    symbols: set[str]
    mean: float
    most: int


def _look(texts: Iterable[str], side: SideConfig) -> _Look:
    found: set[str] = set()
    count = characters = most = 0
    for text in texts:
        found.update(text.split() if side.tokenizer == "whitespace" else text)
        count, characters, most = count + 1, characters + len(text), max(most, len(text))
    decomposed = side.jamo and side.tokenizer != "whitespace"
    return _Look(set(decompose("".join(found))) if decomposed else found, characters / count, most)
