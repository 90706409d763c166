"""Files of two columns, or three with features: what separates them, and quotes around texts."""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice, starmap
from pathlib import Path

from attentio.config.schema import SEPARATORS, Columns
from attentio.data.lines import decode_line, file_lines
from attentio.data.rows import Row
from attentio.errors import AttentioError, did_you_mean
from attentio.text.normal import normalized

_LOOKED_AT = 1000
"""Lines that show what separates the columns of a .csv file."""

SIDES = ["source", "target"]
"""Columns, or fields, where no others are named."""

_MOST_NAMED = 20
"""Columns that are named of those that are there."""

_DOUBLED = 'put quotes around a whole text, and write twice ("") those within it'
_NAMES = {separator: name for name, separator in SEPARATORS.items()}


def column_rows(
    path: Path, separator: str, columns: Columns | None = None, features: str | None = None
) -> Iterator[Row]:
    """The texts of each row, or what is wrong with it, an AttentioError.

    separator: a name or character of `data.separator`. `auto` is a tab; in a .csv file, whatever makes two columns of
    most of the first lines, or all of `columns` and `features`.
    columns: which, by their names in the first row, which is then no row, or numbers from 1; None for the only two.
    features: a third column, likewise; without `columns` the others are called source and target, or the first two.

    Raises:
        AttentioError: as `file_lines`; it is not clear what separates; a quote is never closed; no column has the name.
    """
    is_csv = path.name.lower().removesuffix(".gz").endswith(".csv")
    chosen = SEPARATORS.get(separator, separator)
    if separator == "auto":
        chosen = _sniffed(path, columns, features) if is_csv else "\t"
    quoted = chosen != "\t" or (is_csv and separator == "auto")
    names = has_names(columns, features)
    places = None
    for number, (where, found) in enumerate(_quoted(path, chosen) if quoted else _plain(path)):
        if number == 0 and isinstance(found, list) and [text.lower() for text in found] == ["sep=", ""]:
            continue  # Excel's, which names the separator
        if (columns or features) and places is None:
            places = _places(columns, features, _whole(found, where) if names else [], where)
            if names:
                continue
        try:
            yield Row(_texts(_whole(found, where), where, chosen, places, first=number == 0), where)
        except AttentioError as error:
            yield Row(error, where)


def has_names(columns: Columns | None, features: str | None) -> bool:
    """Whether columns are called by names, which the first row must have."""
    return not all(column.isdecimal() for column in (*(columns or ()), features or "1"))


def _places(columns: Columns | None, features: str | None, header: list[str], where: str) -> list[int]:
    """Where in a row source, target and features stand, from 0."""
    names = [normalized(text, "nfc") for text in header]
    places = [_place(column, names, where) for column in columns or ()]
    if features is None:
        return places
    of_features = _place(features, names, where)
    if not places and not features.isdecimal() and {*SIDES} <= {*names}:
        places = [_place(side, names, where) for side in SIDES]
    others = [place for place in range(max(3, len(names))) if place != of_features]
    return [*(places or others[:2]), of_features]


def _place(column: str, names: list[str], where: str) -> int:
    if column.isdecimal():
        if int(column) < 1:
            raise AttentioError(f"{where}: there is no column {column}; they are numbered from 1")
        return int(column) - 1
    name = normalized(column, "nfc")
    if names.count(name) > 1:
        raise AttentioError(f"{where}: {names.count(name)} columns are called {name!r}; give their numbers")
    if name not in names:
        there = ", ".join(map(repr, names[:_MOST_NAMED]))
        raise AttentioError(f"{where}: no column is called {name!r}; there are {there}{did_you_mean(name, names)}")
    return names.index(name)


def _whole(found: list[str] | AttentioError, where: str) -> list[str]:
    if isinstance(found, AttentioError):
        raise found
    if not any(text.strip() for text in found):
        raise AttentioError(f"{where}: empty line; fill or remove it")
    return found


def _texts(found: list[str], where: str, separator: str, places: list[int] | None, *, first: bool) -> list[str]:
    """The texts of a row. first: what is wrong may be all of the table, not this row."""
    if places is not None:
        if max(places) >= len(found):
            key = "data.columns" if max(places[:2]) >= len(found) else "data.features"
            raise AttentioError(
                f"{where}: {len(found)} column(s), and {key} asks for column {max(places) + 1}; fill or remove it"
            )
        return [found[place] for place in places]
    if len(found) == 2:
        return found
    name = _NAMES.get(separator, repr(separator))
    more = ""
    if len(found) > 2 and separator != "\t":
        more = f', no other columns, and "quotes" around a text that holds a {name}'
    if len(found) > 2 and first:
        more += f"; or say which two of these, such as --data.columns 1,{len(found)}"
    others = [other for character, other in _NAMES.items() if character != separator and character in found[0]]
    if len(found) == 1 and others:
        more = f", or say what separates them, such as --data.separator {others[0]}"
    raise AttentioError(f"{where}: {len(found)} column(s) where 2 are expected; write source, one {name}, target{more}")


def _plain(path: Path) -> Iterator[tuple[str, list[str] | AttentioError]]:
    """Columns between tabs, in which a quote is a letter like any other."""
    for number, line in enumerate(file_lines(path), start=1):
        where = f"{path}:{number}"
        try:
            yield where, decode_line(line, where).split("\t")
        except AttentioError as error:
            yield where, error


def _quoted(path: Path, separator: str) -> Iterator[tuple[str, list[str] | AttentioError]]:
    """Columns as CSV has them. A quoted text may go on over several lines; a row stands where it begins."""
    wrong: list[AttentioError] = []  # with lines of this row

    def decoded(number: int, line: bytes) -> str:
        try:
            return _decoded(path, number, line)
        except AttentioError as error:  # raised here, it would make a row of what follows in the same quotes
            wrong.append(error)
            return line.decode("utf-8", "surrogateescape") + "\n"

    lines = starmap(decoded, enumerate(file_lines(path), start=1))
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        wrong.clear()
        start = rows.line_num + 1
        where = f"{path}:{start}"
        columns: list[str] = []
        try:
            columns = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            said = str(error)
            too_long = "field limit" in said
            if "unexpected end" in said or (too_long and rows.line_num > start):
                raise AttentioError(f"{where}: a text in quotes begins here and never ends; {_DOUBLED}") from None
            told = f"a text in quotes goes on after its closing quote; {_DOUBLED}"
            if too_long:
                told = f"a text of more than {csv.field_size_limit():,} letters; cut it"
            elif "new-line" in said:
                told = "a carriage return within the line; remove it"
            wrong.append(AttentioError(f"{where}: {told}"))
        yield where, wrong[0] if wrong else columns


def _decoded(path: Path, number: int, line: bytes) -> str:
    return decode_line(line, f"{path}:{number}") + "\n"


def _sniffed(path: Path, columns: Columns | None, features: str | None) -> str:
    """What separates the columns of a .csv file; AttentioError where two things may."""
    lines = []
    for number, line in enumerate(islice(file_lines(path), _LOOKED_AT), start=1):
        with suppress(AttentioError):  # it is told when the rows are read
            lines.append(_decoded(path, number, line))
    if lines and (named := re.fullmatch("(?i)sep=(.)\n", lines[0])):  # as Excel writes it
        return named[1]
    rows = {separator: _rows(lines, separator) for separator in (",", ";", "\t")}
    shares = {separator: _share(found, columns, features) for separator, found in rows.items()}
    most = max(shares.values())
    if most <= 0.5:  # what makes the most columns is what is told about
        return max(rows, key=lambda separator: sum(map(len, rows[separator])))
    best = [separator for separator in rows if shares[separator] == most]
    if len(best) > 1:
        names = " and ".join(_NAMES[separator] for separator in best)
        raise AttentioError(f"{path}: {names} make two columns; say which, such as --data.separator {_NAMES[best[0]]}")
    return best[0]


def _share(rows: list[list[str]], columns: Columns | None, features: str | None) -> float:
    """Of the rows, how many have the two columns."""
    if not rows:
        return 0.0
    if columns is None and features is None:
        return sum(len(row) == 2 for row in rows) / len(rows)
    try:
        last = max(_places(columns, features, rows[0], ""))
    except AttentioError:  # a header without the names
        return 0.0
    return sum(len(row) > last for row in rows) / len(rows)


def _rows(lines: Iterable[str], separator: str) -> list[list[str]]:
    """The rows up to one that is none."""
    found: list[list[str]] = []
    with suppress(csv.Error):
        found.extend(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    return found
