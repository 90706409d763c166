"""What the data of a training look like, in numbers and lines for a person: many a model's mistakes are its data's."""

from collections.abc import Iterable
from typing import NamedTuple

from attentio.config.schema import Config, SideConfig
from attentio.data.part import Part, source_of
from attentio.text.jamo import decompose

_MOST_SHOWN = 20
"""Letters or words that are shown of those that the training data lack."""


class Survey(NamedTuple):
    """What was counted, in the training data and in the dev set ("" for not counted); and what to know of it."""

    rows: list[tuple[str, ...]]
    notes: list[str]


def survey(config: Config, train: Part, dev: Part) -> Survey:
    """Look at the data of a training, as they were read."""
    unit, parts = train.unit, (train, dev)
    distinct = [set(part.items) for part in parts]
    repeated = (len(part.items) - len(found) for part, found in zip(parts, distinct, strict=True))
    rows = [(unit, *_numbers(len(part.items) for part in parts)), (f"repeated {unit}", *_numbers(repeated))]
    notes = []
    if unit == "pairs":
        sources = [set(map(source_of, found)) for found in distinct]
        others = (len(found) - len(each) for found, each in zip(distinct, sources, strict=True))
        rows.append(("repeated sources with other targets", *_numbers(others)))
        rows.append(("sources that are in train too", "", f"{len(sources[0] & sources[1]):,}"))
    shared = sum(item in distinct[0] for item in dev.items)
    rows.append((f"{unit} that are in train too", "", f"{shared:,}"))
    for what, side, texts in _sides(config, parts):
        rows.append((f"{what}: mean and most characters", *map(_lengths, texts)))
        kind = "words" if side.tokenizer == "whitespace" else "letters"
        known, asked = (_symbols(each, side) for each in texts)
        lacking = sorted(asked - known)
        rows.append((f"{what}: {kind} that train lacks", "", f"{len(lacking):,}"))
        if lacking:
            shown = " ".join(map(repr, lacking[:_MOST_SHOWN])) + (" .." if len(lacking) > _MOST_SHOWN else "")
            notes.append(f"{dev.name} has {kind} that a model of {train.name} cannot know, in the {what}: {shown}")
    trimmed, composed = ("texts with white space around them", "texts that are not in NFC")
    if config.text.normalize == "nfc":
        trimmed, composed = ("texts trimmed of white space", "texts composed (Unicode NFC)")
    rows.append((trimmed, *_numbers(part.trimmed for part in parts)))
    rows.append((composed, *_numbers(part.composed for part in parts)))
    if 2 * shared >= len(dev.items):
        told = f"{dev.name} has {shared:,} of its {len(dev.items):,} {unit} from what is trained on, {train.name}"
        if distinct[0] == distinct[1]:
            told = f"{dev.name} is what is trained on, {train.name}"
        notes.append(
            f"{told}: its scores tell what is remembered, not what is learnt; "
            f"without data.dev a part of the training data is held out"
        )
    return Survey(rows, notes)


def _numbers(counts: Iterable[int | None]) -> Iterable[str]:
    return ("" if count is None else f"{count:,}" for count in counts)


def _sides(config: Config, parts: tuple[Part, Part]) -> list[tuple[str, SideConfig, list[list[str]]]]:
    """Each side of the pairs, or the documents: how it is called and tokenized, and its texts in each part."""
    text = config.text
    if parts[0].unit != "pairs":
        return [("documents", text.source, [part.items for part in parts])]
    of_target = text.source if text.shared else text.target
    if config.model.type == "labeller":
        of_target = SideConfig(tokenizer="whitespace")
    sides = (("source", text.source), ("target", of_target))
    return [(name, side, [[pair[i] for pair in part.items] for part in parts]) for i, (name, side) in enumerate(sides)]


def _symbols(texts: list[str], side: SideConfig) -> set[str]:
    """What a vocabulary of these texts is made of."""
    found: set[str] = set()
    for text in texts:
        found.update(text.split() if side.tokenizer == "whitespace" else text)
    return set(decompose("".join(found))) if side.jamo and side.tokenizer != "whitespace" else found


def _lengths(texts: list[str]) -> str:
    return f"{sum(map(len, texts)) / len(texts):,.1f}, {max(map(len, texts)):,}"
