"""The parts of a run's data, and the part of its training data that is held out where it has no dev set. No torch."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attentio import system
from attentio.config.schema import Config, DataConfig
from attentio.data.labels import check_text_label, check_word_labels
from attentio.data.pairs import Pair, kind_of, read_pairs
from attentio.data.spool import collected
from attentio.data.tags import tagged
from attentio.data.texts import read_texts
from attentio.errors import AttentioError
from attentio.files import is_missing, read_json

SHARE = 20
"""One of so many sources is held out."""
MOST_HELD_OUT = 1000
HELD_OUT = "held-out.jsonl"
"""Where a run keeps what was held out."""


@dataclass(frozen=True)
class Part:
    """What one data specification names.

    items: pairs, or documents of text. unit: what they are called. header, trimmed, composed: see `Pairs`; None where
    another part counts them. featured: whether the sources have features (see `text.features`).
    """

    name: str
    items: Sequence[Any]
    skipped: tuple[str, ...]
    unit: str
    header: str | None = None
    trimmed: int | None = None
    composed: int | None = None
    featured: bool = False

    def facts(self) -> dict[str, Any]:
        """What is written down of it, so that a resumed run can tell whether it is still the same."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(("\t".join(item) if isinstance(item, Pair) else item).encode() + b"\n")
        return {
            "name": self.name,
            self.unit: len(self.items),
            "sha256": digest.hexdigest(),
            "skipped": list(self.skipped),
        }

    def write(self, path: Path) -> None:
        """As lines of JSON, which `read_part` reads as the same."""
        rows = (item._asdict() if isinstance(item, Pair) else {"text": item} for item in self.items)
        system.replace_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_part(config: Config, spec: str) -> Part:
    """Read one part of the data. AttentioError for bad data."""
    data, normalize = config.data, config.text.normalize
    if config.model.type in ("encoder-decoder", "labeller"):
        check = None
        if config.model.type == "labeller":
            check = check_text_label if config.model.labels == "text" else check_word_labels
        featured = _has_features(config, spec)
        pairs = read_pairs(
            spec,
            separator=data.separator,
            columns=data.columns,
            features=data.features,
            header=data.header,
            normalize=normalize,
            bad_lines=data.bad_lines,
            check=check,
        )
        counts = (pairs.header, pairs.trimmed, pairs.composed)
        return Part(pairs.name, pairs.pairs, pairs.skipped, "pairs", *counts, featured=featured)
    texts = read_texts(spec, document=data.document, normalize=normalize, bad_lines=data.bad_lines)
    return Part(texts.name, texts.documents, texts.skipped, "documents", trimmed=texts.trimmed, composed=texts.composed)


def _has_features(config: Config, spec: str) -> bool:
    """Whether sources have features; AttentioError where they may not, or only those of one part have tags."""
    train, own = config.data.train, bool(tagged(spec))
    if own and config.model.type == "labeller":
        raise AttentioError(f"{spec}: tags are for model.type encoder-decoder; give the files alone")
    if config.data.features is None and train and own != bool(tagged(train)):
        has, lacks = (spec, train) if own else (train, spec)
        raise AttentioError(f"{has} has tags, and {lacks} has none; write TAG={lacks}")
    return own or config.data.features is not None


def read_held_out(config: Config, run: Path) -> Part:
    """What was held out of a run's training data: it is kept in a form of its own, whatever the data's columns are.

    AttentioError where it is missing, or not what it was.
    """
    path = run / HELD_OUT
    if not run.is_dir():  # a bundle, or several runs
        raise AttentioError(
            f"{run}: what was held out of the training data is kept in run directories; give --data FILE"
        )
    if is_missing(path):
        raise AttentioError(f"{path} is missing, which was held out of the training data; copy it, or give --data FILE")
    data = replace(config.data, train="", columns=None, features=None)
    text = replace(config.text, normalize="none")  # as what is there has been already
    part = read_part(replace(config, data=data, text=text), str(path))
    if part.facts()["sha256"] != read_json(run / "data.json").get("dev", {}).get("sha256"):
        raise AttentioError(f"{path} has been altered since it was written; copy it again, or give --data FILE")
    return part


def read_parts(config: Config) -> tuple[Part, Part]:
    """What a run is trained on and what it is validated on: data.dev, or a part of data.train.

    Raises:
        AttentioError: bad data, or nothing to hold out.
    """
    _check_table_options(config.data)
    train = read_part(config, config.data.train)
    return hold_out(train) if config.data.dev is None else (train, read_part(config, config.data.dev))


def _check_table_options(data: DataConfig) -> None:
    """AttentioError for an option that says nothing of any of the data."""
    specs = [one for spec in (data.train, data.dev, data.test) if spec for one in tagged(spec).values() or [spec]]
    kinds = {kind_of(spec) for spec in specs}
    for name, given, read_by in (
        ("columns", data.columns is not None, {"table", "json", "hub"}),
        ("separator", data.separator != "auto", {"table"}),
        ("header", data.header != "auto", {"table", "parallel"}),
    ):
        if given and kinds.isdisjoint(read_by):
            raise AttentioError(f"data.{name} is for files of columns, and {data.train} is none; leave it out")


def hold_out(part: Part) -> tuple[Part, Part]:
    """What is left to train on, and what is held out: one source in 20, at least one and at most 1,000.

    All pairs of a source stay together, so that none is on both sides. The SHA-256 of a source decides: whatever the
    order of the data and the seed of the training, the same are held out. Of a single document it is the last lines.

    Raises:
        AttentioError: a single source, or a single document of one line.
    """
    left: Sequence[Any]
    if chosen := _chosen(map(source_of, part.items)):
        left = collected(item for item in part.items if source_of(item) not in chosen)
        held = [item for item in part.items if source_of(item) in chosen]
    else:
        lines = part.items[0].split("\n") if part.unit == "documents" else []
        if len(lines) < 2:
            raise AttentioError(f"{part.name}: there is only one source, so none can be held out; give --data.dev FILE")
        count = min(MOST_HELD_OUT, max(1, len(lines) // SHARE))
        left, held = (["\n".join(some)] for some in (lines[:-count], lines[-count:]))
    return replace(part, items=left), Part(f"{part.name}, held out", held, (), part.unit, featured=part.featured)


def _chosen(sources: Iterable[str]) -> set[str]:
    """One in 20 of the different sources, those with the smallest sums; none of a single one."""
    smallest: list[tuple[bytes, str]] = []
    different: set[bytes] = set()  # no more of them are counted than matter
    for source in sources:
        one = (hashlib.sha256(source.encode()).digest(), source)
        if len(different) < SHARE * MOST_HELD_OUT:
            different.add(one[0])
        place = bisect_left(smallest, one)
        if place < MOST_HELD_OUT and smallest[place : place + 1] != [one]:
            smallest.insert(place, one)
            del smallest[MOST_HELD_OUT:]
    count = 0 if len(different) < 2 else max(1, len(different) // SHARE)
    return {source for _, source in smallest[:count]}


def source_of(item: Any) -> str:
    """What a model is given of a pair; a document itself."""
    return item.source if isinstance(item, Pair) else item
