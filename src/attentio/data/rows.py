"""Rows of data, not yet parsed, each with the place it stands at: of files, embedded sets, and the hub."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from attentio.config.schema import BadLines
from attentio.data import cmudict, dates, korean
from attentio.data.lines import decode_line, file_lines
from attentio.data.spool import collected
from attentio.errors import AttentioError, did_you_mean, extra

EMBEDDED: dict[str, Callable[[str], Iterable[tuple[str, str]]]] = {
    "cmudict": cmudict.pairs,
    "dates": dates.pairs,
    "date_locales": dates.locales,
    "date_parts": dates.parts,
    "korean": korean.pairs,
}
_SPLITS = ("train", "dev", "test")

AnyRow = TypeVar("AnyRow")
Parsed = TypeVar("Parsed")


class Row(NamedTuple):
    """A row as it was found, and where: "FILE:LINE", or the specification and the number of the row."""

    raw: Any
    where: str


def names_embedded(spec: str) -> bool:
    """Whether the specification means a data set that comes along, be it misspelt."""
    head, _, rest = spec.partition(":")
    return head in EMBEDDED or bool(rest and head.isidentifier() and len(head) > 1)


def is_json(path: Path) -> bool:
    """Whether the name is that of a file of JSON lines."""
    return path.name.lower().removesuffix(".gz").endswith((".jsonl", ".json"))


def file_rows(path: Path) -> Iterator[Row]:
    """The lines of a file (see `file_lines`), as bytes."""
    for number, line in enumerate(file_lines(path), start=1):
        yield Row(line, f"{path}:{number}")


def embedded_rows(spec: str) -> Iterator[Row]:
    """The pairs of a set that comes along, as (source, target); AttentioError if there is none of that name."""
    known = [f"{name}:{split}" for name in EMBEDDED for split in _SPLITS]
    if spec not in known:
        hint = did_you_mean(spec, known) or f"; there are {', '.join(known)}"
        raise AttentioError(f"{spec}: no such data set{hint}")
    name, _, split = spec.partition(":")
    for number, pair in enumerate(EMBEDDED[name](split), start=1):
        yield Row(pair, f"{spec}:{number}")


def hub_rows(spec: str) -> Iterator[Row]:
    """The rows of `hub:NAME:SPLIT`, as dictionaries; AttentioError if they cannot be had."""
    name, _, split = spec.removeprefix("hub:").rpartition(":")
    if not name or not split:
        raise AttentioError(f"{spec}: write hub:NAME:SPLIT, such as hub:NAME:train")
    with extra("hf"):
        import datasets

    try:
        rows = datasets.load_dataset(name, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).partition("\n")[0]
        raise AttentioError(f"{spec}: cannot be loaded ({reason}); check its name, split and network") from error
    for number, row in enumerate(rows, start=1):
        yield Row(row, f"{spec}:{number}")


def parse_rows(
    rows: Iterable[AnyRow], parse: Callable[[AnyRow], Parsed], *, bad_lines: BadLines
) -> tuple[Sequence[Parsed], list[str]]:
    """What the rows hold, and the message of `parse`'s AttentioError for each bad row that is skipped."""
    skipped: list[str] = []

    def parsed() -> Iterator[Parsed]:
        for row in rows:
            try:
                yield parse(row)
            except AttentioError as error:
                if bad_lines == "stop":
                    raise
                skipped.append(str(error))

    return collected(parsed()), skipped


def json_object(line: bytes, where: str, remedy: str) -> dict[str, Any]:
    """The JSON object that a line holds; AttentioError, ending in the remedy, if it holds none."""
    text = decode_line(line, where)
    if not text.strip():
        raise AttentioError(f"{where}: empty line; fill or remove it")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AttentioError(f"{where}: not JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise AttentioError(f"{where}: not a JSON object; {remedy}")
    return content


def string_field(content: dict[str, Any], key: str, where: str, remedy: str) -> str:
    """The string of that name; AttentioError, ending in the remedy, if there is none."""
    if key not in content:
        raise AttentioError(f'{where}: no "{key}"; {remedy}')
    if not isinstance(content[key], str):
        raise AttentioError(f'{where}: "{key}" is not a string; {remedy}')
    return content[key]
