"""Pairs of source and target text: from files, from the sets that come along, from the Hugging Face hub."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

from attentio.config.schema import BadLines, Columns, Header, Normalize
from attentio.data.columns import SIDES, column_rows, has_names
from attentio.data.headers import names_columns, stands_apart
from attentio.data.lines import check_text, decode_line, file_lines
from attentio.data.rows import (
    Row,
    embedded_rows,
    file_rows,
    hub_rows,
    is_json,
    json_object,
    names_embedded,
    parse_rows,
    string_field,
)
from attentio.data.spool import collected
from attentio.data.tags import tagged
from attentio.errors import AttentioError
from attentio.text.features import check_different, joined, parted
from attentio.text.normal import Normalizer, normalized

Kind = Literal["hub", "embedded", "parallel", "json", "table"]
"""Of data: a set of the hub, one that comes along, two files line by line, JSON lines, columns of text."""


class Pair(NamedTuple):
    """What goes in, and what should come out. A source with features has them behind a tab: see `text.features`."""

    source: str
    target: str


class Example(NamedTuple):
    """A source with everything that counts as a right answer to it."""

    source: str
    references: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What `read_pairs` read.

    name: the data specification they were read from.
    pairs: in the order of the data.
    skipped: one message ("FILE:LINE: what is wrong") for each bad line left out.
    header: a line about a first row that was left out, or that may be no pair.
    trimmed, composed: texts with white space around them, and texts whose letters were not composed.
    """

    name: str
    pairs: Sequence[Pair]
    skipped: tuple[str, ...]
    header: str | None
    trimmed: int
    composed: int


_Texts = Sequence[str]
"""Of a row: source, target, and features where they were asked for."""


class _PairRow(NamedTuple):
    """One pair of the data, not yet parsed, and where it stands: itself, its source, its target and its features."""

    raw: Any
    where: str
    source: str
    target: str
    features: str


def read_pairs(
    spec: str,
    *,
    separator: str = "auto",
    columns: Columns | None = None,
    features: str | None = None,
    header: Header = "auto",
    normalize: Normalize = "nfc",
    bad_lines: BadLines = "stop",
    max_line_length: int = 10_000,
    check: Callable[[Pair, str], None] | None = None,
) -> Pairs:
    """Read pairs of source and target.

    | spec | data |
    |---|---|
    | `cmudict:train`, `dates:dev`, `korean:test` | a data set that comes along |
    | `FILE` | one pair per line, source and target separated by a tab |
    | `FILE.csv` | one pair per row, source and target separated by what `separator` says |
    | `FILE.jsonl`, `FILE.json` | one JSON object per line, with the strings "source" and "target" |
    | `SOURCE_FILE,TARGET_FILE` | two files; line n of one belongs to line n of the other |
    | `hub:NAME:SPLIT` | a data set of the Hugging Face hub, or a local folder; see below |
    | `TAG=SPEC+TAG=SPEC` | several of these, all sources of each with its tag as a feature |

    Every file may end in .gz. Line ends are LF or CR LF; a byte order mark at the beginning of a line is dropped. A
    data set of the hub has the columns "source" and "target", or a column "translation" that holds two languages, the
    source first.

    Args:
        spec: see the table.
        separator, columns: see `column_rows`; of JSON and the hub the columns are names.
        features: the column that has the features of the sources, as `data.features` has it; of two files, a third.
        header: whether the first row of a FILE of columns, or of two files, is no pair: it is left out if True, or
            if "auto" where it consists of well-known headings, and then told.
        normalize: "nfc" reads text without white space around it, in NFC; "none" as it is.
        bad_lines: "stop" at a bad line, or "skip" it and say so in `Pairs.skipped`.
        max_line_length: the longest source or target, in characters.
        check: raises AttentioError for a pair that is bad in another way; it is given where the pair stands.

    Raises:
        AttentioError: no such data, or a bad line (see `check_text`) that may not be skipped.
    """
    if parts := tagged(spec):
        options: dict[str, Any] = {"separator": separator, "columns": columns, "features": features, "header": header}
        options |= {"normalize": normalize, "bad_lines": bad_lines, "max_line_length": max_line_length, "check": check}
        return _with_tags(
            spec, {tag: read_pairs(one, **options) for tag, one in parts.items()}, featured=features is not None
        )
    rows, parse, may_have_header = _open(spec, separator, columns, features)
    normal = Normalizer(normalize)

    def checked(row: _PairRow) -> Pair:
        source, target, *of_source = map(normal, parse(row))
        check_text(source, row.source, max_line_length=max_line_length)
        check_text(target, row.target, max_line_length=max_line_length)
        for each in of_source:
            check_text(each.replace(";", " "), row.features, max_line_length=max_line_length)
            check_different(each, row.features)
        pair = Pair(joined(source, of_source[0]) if of_source else source, target)
        if check is not None:
            check(pair, row.where)
        return pair

    told = None
    if may_have_header and header is not False:
        rows, told = _without_header(rows, parse, surely=header is True)
    pairs, skipped = parse_rows(rows, checked, bad_lines=bad_lines)
    if not pairs and skipped:
        raise AttentioError(f"{spec}: no good line among {len(skipped)}, the first: {skipped[0]}")
    if not pairs:
        nothing = f"{told}; nothing else is there" if told else f"{spec}: the data set is empty; choose another split"
        raise AttentioError(nothing)
    if may_have_header and header == "auto" and not told and stands_apart(pairs):
        first = " and ".join(repr(text[:40]) for text in pairs[0])
        told = (
            f"{spec}: {first}, the first row, may be headings: no other row is written in such letters; "
            f"--data.header true leaves them out"
        )
    return Pairs(
        name=spec,
        pairs=pairs,
        skipped=tuple(skipped),
        header=told,
        trimmed=normal.trimmed,
        composed=normal.composed,
    )


def group_references(pairs: Iterable[Pair]) -> list[Example]:
    """Pairs with the same source as one example with several references, both in the order first seen."""
    references: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        references.setdefault(source, {})[target] = None
    return [Example(source, tuple(targets)) for source, targets in references.items()]


def _with_tags(spec: str, parts: dict[str, Pairs], *, featured: bool) -> Pairs:
    """The pairs of all parts, each part's tag a feature of its sources. featured: they have others already."""

    def with_tag(source: str, tag: str) -> str:
        text, features = parted(source) if featured else (source, "")
        features = f"{features};{tag}"
        check_different(features, f"{spec}: {text[:40]!r}")
        return joined(text, features)

    pairs = (pair._replace(source=with_tag(pair.source, tag)) for tag, part in parts.items() for pair in part.pairs)
    return Pairs(
        name=spec,
        pairs=collected(pairs),
        skipped=tuple(chain.from_iterable(part.skipped for part in parts.values())),
        header="; ".join(part.header for part in parts.values() if part.header) or None,
        trimmed=sum(part.trimmed for part in parts.values()),
        composed=sum(part.composed for part in parts.values()),
    )


def kind_of(spec: str) -> Kind:
    """What one data specification without tags names; a path that is there is a file, whatever its name."""
    path = Path(spec)
    if not path.exists():
        if spec.startswith("hub:"):
            return "hub"
        if names_embedded(spec):
            return "embedded"
        if "," in spec:
            return "parallel"
    return "json" if is_json(path) else "table"


def _open(
    spec: str, separator: str, columns: Columns | None, features: str | None
) -> tuple[Iterator[_PairRow], Callable[[_PairRow], _Texts], bool]:
    """The rows that the specification names, how to parse one, and whether the first may be a header."""
    fields = columns if features is None else [*(columns or SIDES), features]
    match kind_of(spec):
        case "hub":
            return _with_sides(hub_rows(spec)), partial(_parse_hub, columns=fields), False
        case "embedded":
            if features is not None:
                raise AttentioError(f"{spec} has no features; leave data.features out, or write TAG={spec}")
            return _with_sides(embedded_rows(spec)), _parse_embedded, False
        case "parallel":
            files = [Path(one) for one in spec.split(",", 1 if features is None else 2)]
            if features is not None and len(files) < 3:
                raise AttentioError(f"{spec}: two files, and data.features asks for a third, SOURCE,TARGET,FEATURES")
            return _parallel_rows(files), _parse_parallel, True
        case "json":
            return _with_sides(file_rows(Path(spec))), partial(_parse_json, columns=fields), False
        case "table":
            named = has_names(columns, features)
            return _with_sides(column_rows(Path(spec), separator, columns, features)), _parse_columns, not named


def _without_header(
    rows: Iterator[_PairRow], parse: Callable[[_PairRow], _Texts], *, surely: bool
) -> tuple[Iterator[_PairRow], str | None]:
    """The rows without a first one that is a header, and what is told of it. surely: it is one, whatever it says."""
    first = next(rows, None)
    if first is None:
        return rows, None
    if surely:
        return rows, f"{first.where}: left out as the header"
    try:
        source, target, *features = (normalized(text, "nfc") for text in parse(first))
    except AttentioError:
        return chain([first], rows), None
    if not names_columns((source, target, *features)):
        return chain([first], rows), None
    return rows, f"{first.where}: {source!r} and {target!r} are headings and left out; --data.header false keeps them"


def _with_sides(rows: Iterator[Row]) -> Iterator[_PairRow]:
    for raw, where in rows:
        yield _PairRow(raw, where, f"{where}: source", f"{where}: target", f"{where}: features")


def _parse_embedded(row: _PairRow) -> _Texts:
    texts: _Texts = row.raw
    return texts


def _parse_columns(row: _PairRow) -> _Texts:
    if isinstance(row.raw, AttentioError):
        raise row.raw
    texts: _Texts = row.raw
    return texts


def _parse_json(row: _PairRow, *, columns: Columns | None) -> _Texts:
    names = _names(columns, row)
    fields = ", ".join(f'"{name}": "..."' for name in names)
    remedy = f"write one object a line, {{{fields}}}"
    content = json_object(row.raw, row.where, remedy)
    return _fields(content, names, row, remedy)


def _names(columns: Columns | None, row: _PairRow) -> Columns:
    names = columns or SIDES
    if not any(name.isdecimal() for name in names):
        return names
    key = "data.columns" if any(name.isdecimal() for name in names[:2]) else "data.features"
    raise AttentioError(f"{row.where}: its columns have names, not numbers; give those as {key}")


def _fields(content: dict[str, Any], keys: Iterable[str], row: _PairRow, remedy: str) -> _Texts:
    return [string_field(content, key, row.where, remedy) for key in keys]


def _parallel_rows(files: Sequence[Path]) -> Iterator[_PairRow]:
    counts = [0] * len(files)
    for number, lines in enumerate(zip_longest(*map(file_lines, files)), start=1):
        counts = [count + (line is not None) for count, line in zip(counts, lines, strict=True)]
        if len(set(counts)) == 1:
            places = [f"{file}:{number}" for file in files]
            yield _PairRow(lines, places[0], *places, *[""] * (3 - len(places)))
    for file, count in zip(files, counts, strict=True):
        if count != counts[0]:
            raise AttentioError(
                f"{files[0]} has {counts[0]} lines and {file} has {count}; give files in which "
                f"line n of one belongs to line n of the other"
            )


def _parse_parallel(row: _PairRow) -> _Texts:
    return [decode_line(line, place) for line, place in zip(row.raw, row[2:], strict=False)]


def _parse_hub(row: _PairRow, *, columns: Columns | None) -> _Texts:
    if columns:
        named = _names(columns, row)
        return _fields(row.raw, named, row, f"there are {', '.join(row.raw)}")
    remedy = 'it needs the columns "source" and "target", or "translation" with two languages'
    translation = row.raw.get("translation")
    if not isinstance(translation, dict):
        return _fields(row.raw, SIDES, row, remedy)
    if len(translation) != 2:
        raise AttentioError(f'{row.where}: {len(translation)} languages in "translation"; {remedy}')
    return _fields(translation, translation, row, remedy)
