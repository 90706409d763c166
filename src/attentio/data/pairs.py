"""Pairs of source and target text: from files, from the sets that come along, from the Hugging Face hub."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from attentio.data.lines import BadLines, check_text, decode_line, file_lines, read_sources
from attentio.data.rows import (
    Row,
    embedded_rows,
    file_rows,
    hub_rows,
    is_json,
    json_object,
    names_embedded,
    string_field,
)
from attentio.errors import AttentioError

__all__ = ["Example", "Pair", "Pairs", "group_references", "read_pairs", "read_sources"]


class Pair(NamedTuple):
    """What goes in, and what should come out."""

    source: str
    target: str


class Example(NamedTuple):
    """A source with everything that counts as a right answer to it."""

    source: str
    references: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What `read_pairs` read.

    name: the data specification it was read from.
    pairs: in the order of the data.
    skipped: one message ("FILE:LINE: what is wrong") for each bad line left out.
    """

    name: str
    pairs: list[Pair]
    skipped: tuple[str, ...]


class _Row(NamedTuple):
    """One pair of the data, not yet parsed, and where it stands: itself, its source and its target."""

    raw: Any
    where: str
    source: str
    target: str


def read_pairs(spec: str, *, bad_lines: BadLines = "stop", max_line_length: int = 10_000) -> Pairs:
    """Read pairs of source and target.

    | spec | data |
    |---|---|
    | `cmudict:train`, `dates:dev`, `...:test` | a data set that comes along |
    | `FILE` | one pair a line, source and target separated by a tab |
    | `FILE.jsonl`, `FILE.json` | one JSON object a line, with the strings "source" and "target" |
    | `SOURCE_FILE,TARGET_FILE` | two files; line n of one belongs to line n of the other |
    | `hub:NAME:SPLIT` | a data set of the Hugging Face hub, or a local folder; see below |

    Every file may end in .gz. Text stays as it is, but for the line end (LF or CR LF) and a leading byte
    order mark. A data set of the hub has the columns "source" and "target", or a column "translation" that
    holds two languages, the source first.

    Args:
        spec: see the table.
        bad_lines: "stop" at a bad line, or "skip" it and say so in `Pairs.skipped`.
        max_line_length: the longest source or target, in characters.

    Raises:
        AttentioError: no such data, or a bad line (see `check_text`) that may not be skipped.
    """
    rows, parse = _open(spec)
    pairs: list[Pair] = []
    skipped: list[str] = []
    for row in rows:
        try:
            pair = parse(row)
            check_text(pair.source, row.source, max_line_length=max_line_length)
            check_text(pair.target, row.target, max_line_length=max_line_length)
        except AttentioError as error:
            if bad_lines == "stop":
                raise
            skipped.append(str(error))
        else:
            pairs.append(pair)
    if not pairs and skipped:
        raise AttentioError(f"{spec}: no good line among {len(skipped)}, the first: {skipped[0]}")
    if not pairs:
        raise AttentioError(f"{spec}: the data set is empty; choose another split")
    return Pairs(name=spec, pairs=pairs, skipped=tuple(skipped))


def group_references(pairs: Iterable[Pair]) -> list[Example]:
    """Pairs with the same source as one example with several references, both in the order first seen."""
    references: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        references.setdefault(source, {})[target] = None
    return [Example(source, tuple(targets)) for source, targets in references.items()]


def _open(spec: str) -> tuple[Iterator[_Row], Callable[[_Row], Pair]]:
    """The rows that the specification names, and how to parse one."""
    path = Path(spec)
    if spec.startswith("hub:") and not path.exists():
        return _with_sides(hub_rows(spec)), _parse_hub
    if names_embedded(spec) and not path.exists():
        return _with_sides(embedded_rows(spec)), _parse_embedded
    if "," in spec and not path.exists():
        source_file, _, target_file = spec.partition(",")
        return _parallel_rows(Path(source_file), Path(target_file)), _parse_parallel
    return _with_sides(file_rows(path)), _parse_json if is_json(path) else _parse_columns


def _with_sides(rows: Iterator[Row]) -> Iterator[_Row]:
    for raw, where in rows:
        yield _Row(raw, where, f"{where}: source", f"{where}: target")


def _parse_embedded(row: _Row) -> Pair:
    return Pair(*row.raw)


def _parse_columns(row: _Row) -> Pair:
    text = decode_line(row.raw, row.where)
    if not text.strip():
        raise AttentioError(f"{row.where}: empty line; fill or remove it")
    columns = text.split("\t")
    if len(columns) != 2:
        raise AttentioError(
            f"{row.where}: {len(columns)} column(s) where 2 are expected; write source, one tab, target"
        )
    return Pair(*columns)


def _parse_json(row: _Row) -> Pair:
    remedy = 'write one object a line, {"source": "...", "target": "..."}'
    content = json_object(row.raw, row.where, remedy)
    return _sides(content, ("source", "target"), row, remedy)


def _sides(content: dict[str, Any], keys: tuple[str, str], row: _Row, remedy: str) -> Pair:
    return Pair(*(string_field(content, key, row.where, remedy) for key in keys))


def _parallel_rows(source_file: Path, target_file: Path) -> Iterator[_Row]:
    sources = targets = 0
    for number, sides in enumerate(zip_longest(file_lines(source_file), file_lines(target_file)), start=1):
        sources += sides[0] is not None
        targets += sides[1] is not None
        if sources == targets:
            yield _Row(sides, f"{source_file}:{number}", f"{source_file}:{number}", f"{target_file}:{number}")
    if sources != targets:
        raise AttentioError(
            f"{source_file} has {sources} lines and {target_file} has {targets}; give files in which "
            f"line n of one belongs to line n of the other"
        )


def _parse_parallel(row: _Row) -> Pair:
    source, target = row.raw
    return Pair(decode_line(source, row.source), decode_line(target, row.target))


def _parse_hub(row: _Row) -> Pair:
    remedy = 'it needs the columns "source" and "target", or "translation" with two languages'
    translation = row.raw.get("translation")
    if not isinstance(translation, dict):
        return _sides(row.raw, ("source", "target"), row, remedy)
    if len(translation) != 2:
        raise AttentioError(f'{row.where}: {len(translation)} languages in "translation"; {remedy}')
    source, target = translation
    return _sides(translation, (source, target), row, remedy)
