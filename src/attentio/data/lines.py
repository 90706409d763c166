"""Lines of text files, checked one by one: what is wrong is said with file, line and remedy."""

import difflib
import gzip
import logging
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from attentio.errors import AttentioError
from attentio.text.tokenizer import find_reserved

BadLines = Literal["stop", "skip"]

_log = logging.getLogger(__name__)
_BOM = b"\xef\xbb\xbf"


def file_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, which may end in .gz, as bytes without their ends.

    Raises:
        AttentioError: the file is missing, unreadable, empty or damaged.
    """
    if not path.exists():
        raise AttentioError(f"{path}: no such file{_nearest(path)}")
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(_lines(stream), start=1):  # noqa: B007
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise AttentioError(f"{path}:{number + 1}: corrupt gzip data ({error}); copy or compress it again") from error
    except OSError as error:
        raise AttentioError(f"{path}: cannot be read: {error.strerror}; give a file you may read") from error
    if number == 0:
        raise AttentioError(f"{path}: the file is empty; give a file with at least one line")


def read_sources(
    stream: Iterable[bytes], name: str, *, bad_lines: BadLines = "stop", max_line_length: int = 10_000
) -> Iterator[tuple[int, str]]:
    """The lines of a stream that are to be translated, with their numbers from 1.

    A line of nothing but white space is allowed and gives "". With `bad_lines="skip"` a bad line gives ""
    too, so that one line in stays one line out, and what is wrong with it is logged as a warning.

    Args:
        stream: a binary stream, or anything else that gives lines with their ends; read lazily.
        name: what errors call it: a file name, or "<stdin>".
        bad_lines: stop at a line that fails the checks of `check_text`, or skip it.
        max_line_length: in characters.

    Raises:
        AttentioError: a bad line, with `bad_lines="stop"`.
    """
    for number, line in enumerate(_lines(stream), start=1):
        where = f"{name}:{number}"
        try:
            text = decode_line(line, where)
            if text.strip():
                check_text(text, where, max_line_length=max_line_length)
        except AttentioError as error:
            if bad_lines == "stop":
                raise
            _log.warning("skipped %s", error)
            text = ""
        yield number, text if text.strip() else ""


def decode_line(line: bytes, where: str) -> str:
    """The line as text; `where` ("FILE:LINE") begins the message of the AttentioError if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AttentioError(
            f"{where}: invalid UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x}); "
            f"save the file as UTF-8"
        ) from error


def check_text(text: str, where: str, *, max_line_length: int | None = 10_000, mask: bool = False) -> None:
    """Refuse text that no model can learn from or translate.

    Args:
        text: one side of a pair, one line to translate, or a document.
        where: what the message begins with, such as "FILE:LINE" or "FILE:LINE: source".
        max_line_length: in characters; None for no limit.
        mask: refuse "<mask>" too, which is reserved in masked language models.

    Raises:
        AttentioError: nothing but white space, too long, a NUL, a lone surrogate, or a reserved symbol.
    """
    if not text.strip():
        raise AttentioError(f"{where}: empty; fill or remove it")
    if max_line_length is not None and len(text) > max_line_length:
        raise AttentioError(
            f"{where}: {len(text)} characters, more than the limit of {max_line_length}; split or remove it"
        )
    if "\0" in text:
        raise AttentioError(f"{where}: NUL character at position {text.index(chr(0)) + 1}; remove it")
    if reserved := find_reserved(text, mask=mask):
        raise AttentioError(f"{where}: holds the reserved symbol {reserved}; remove or rewrite it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AttentioError(
            f"{where}: half of a surrogate pair at position {error.start + 1}, no character; remove it"
        ) from error


def _lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Split at line feeds only: U+2028 and the like are text. A leading byte order mark is dropped."""
    for number, line in enumerate(stream):
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        yield line.removeprefix(_BOM) if number == 0 else line


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f", and no folder {path.parent}; check the path"
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else "; check the path"
