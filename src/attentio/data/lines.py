"""Lines of text files, checked one by one: what is wrong is said with file, line and remedy."""

import gzip
import io
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attentio.config.schema import BadLines
from attentio.errors import AttentioError
from attentio.files import check_regular
from attentio.memory import check_room
from attentio.text.features import check_different, joined
from attentio.text.normal import trimmed
from attentio.text.reserved import find_reserved

_log = logging.getLogger(__name__)
LONGEST_LINE = 2**24
"""Bytes of a line that are held at once, also where a text may have any number of characters."""

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ARCHIVE = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_LINES_BETWEEN_LOOKS = 2**16
"""At how much memory the data take."""


def file_lines(path: Path, *, may_be_empty: bool = False) -> Iterator[bytes]:
    """The lines of a file, which may end in .gz, as bytes without their ends.

    Raises:
        AttentioError: the file is missing, unreadable, no regular file, empty where it may not be, or damaged, or is
            read into more than half of the memory; a small one that was compressed can hold any number of lines.
    """
    check_regular(path)
    number = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(bounded_lines(stream), start=1):
                if number % _LINES_BETWEEN_LOOKS == 0:
                    check_room(f"{path}:{number}")
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise AttentioError(f"{path}:{number + 1}: corrupt gzip data ({error}); copy or compress it again") from error
    except OSError as error:
        raise AttentioError(f"{path}: cannot be read: {error.strerror}; give a file you may read") from error
    if number == 0 and not may_be_empty:
        raise AttentioError(f"{path}: the file is empty; give a file with at least one line")


def read_sources(
    stream: Iterable[bytes],
    name: str,
    *,
    bad_lines: BadLines = "stop",
    max_line_length: int = 10_000,
    check: Callable[[str, str], None] | None = None,
) -> Iterator[tuple[int, str]]:
    """The lines of a stream that are to be translated, with their numbers from 1; see `checked_sources`.

    stream: a binary stream, or anything else that gives lines with their ends; read lazily.
    """
    lines = bounded_lines(stream)
    return checked_sources(lines, name, bad_lines=bad_lines, max_line_length=max_line_length, check=check)


def checked_sources(
    lines: Iterable[bytes],
    name: str,
    *,
    first: int = 1,
    bad_lines: BadLines = "stop",
    max_line_length: int = 10_000,
    check: Callable[[str, str], None] | None = None,
) -> Iterator[tuple[int, str]]:
    """Lines that are to be translated, with their numbers.

    A line of nothing but white space is allowed and gives "". With `bad_lines="skip"` a bad line gives ""
    too, so that one line in stays one line out, and what is wrong with it is logged as a warning.

    Args:
        lines: without their ends.
        name: what errors call it: a file name, or "<stdin>".
        first: the number of the first line.
        bad_lines: stop at a line that fails the checks of `check_text`, or skip it.
        max_line_length: in characters.
        check: raises AttentioError for a line that is bad in another way; it is given where the line stands.

    Raises:
        AttentioError: a bad line, with `bad_lines="stop"`.
    """
    for number, line in enumerate(lines, start=first):
        where = f"{name}:{number}"
        try:
            text = decode_line(line, where)
            if trimmed(text):
                check_text(text, where, max_line_length=max_line_length)
                if check is not None:
                    check(text, where)
        except AttentioError as error:
            bad_line(error, bad_lines)
            text = ""
        yield number, text if trimmed(text) else ""


def bad_line(error: AttentioError, bad_lines: BadLines) -> None:
    """Stop at a bad line with its error, or go on and log it."""
    if bad_lines == "stop":
        raise error
    _log.warning("skipped %s", error)


def read_pair_lines(
    stream: Iterable[bytes],
    name: str,
    *,
    featured: bool = False,
    bad_lines: BadLines = "stop",
    check: Callable[[str, str, str], None] | None = None,
) -> Iterator[tuple[str, str]]:
    """Source and target of each line of a stream, one tab between them; "" and "" of a blank one.

    AttentioError for a line of something else, which with `bad_lines="skip"` is as a blank one and logged.

    stream, name: as of `read_sources`. featured: a third column has the features of the source. check: raises
    AttentioError for a pair that is bad in another way; it is given where the line stands.
    """
    for number, line in enumerate(bounded_lines(stream), start=1):
        try:
            pair = _pair(line, f"{name}:{number}", featured)
            if check is not None and any(pair):
                check(*pair, f"{name}:{number}")
        except AttentioError as error:
            bad_line(error, bad_lines)
            pair = ("", "")
        yield pair


def _pair(line: bytes, where: str, featured: bool) -> tuple[str, str]:
    expected, remedy = 2, "write source, one tab, target"
    if featured:
        expected, remedy = 3, "write source, one tab, target, one tab, features"
    text = decode_line(line, where)
    if not trimmed(text):
        return "", ""
    columns = text.split("\t")
    if len(columns) != expected:
        raise AttentioError(f"{where}: {len(columns)} column(s) where {expected} are expected; {remedy}")
    source, target, *features = columns
    check_text(source, f"{where}: source")
    check_text(target, f"{where}: target")
    for each in features:
        check_text(each.replace(";", " "), f"{where}: features")
        check_different(each, f"{where}: features")
        source = joined(source, each)
    return source, target


def decode_line(line: bytes, where: str) -> str:
    """The line as text; `where` ("FILE:LINE") begins the message of the AttentioError if it is too long or no UTF-8."""
    if len(line) > LONGEST_LINE:
        raise AttentioError(f"{where}: more than the limit of {LONGEST_LINE:,} bytes; split or remove it")
    if line.startswith(_ARCHIVE):
        raise AttentioError(f"{where}: an Excel workbook or another zip archive, no text; save it as CSV UTF-8")
    if line.startswith(_GZIP):
        raise AttentioError(f"{where}: compressed by gzip, and the name does not end in .gz; rename the file")
    if line.startswith(_UTF_16) or 2 * line.count(0) >= len(line) >= 4:
        raise AttentioError(f"{where}: UTF-16, not UTF-8; save the file as UTF-8, in Excel as CSV UTF-8")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AttentioError(
            f"{where}: invalid UTF-8 at byte {error.start + 1} of the line (0x{line[error.start]:02x}); "
            f"save the file as UTF-8, in Excel as CSV UTF-8, or convert it, from Korean Windows with "
            f"iconv -f CP949 -t UTF-8"
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
    if not trimmed(text):
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


def bounded_lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Split at line feeds only: U+2028 and the like are text.

    Byte order marks that begin a line are dropped: files that were joined have them inside.
    Of a line above `LONGEST_LINE` comes as much as shows that: a small file that was compressed can hold any length.
    """
    for line in _pieces(stream) if isinstance(stream, io.IOBase) else stream:
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        start = 0
        while line.startswith(_BOM, start):
            start += len(_BOM)
        yield line[start:]


def _pieces(stream: io.IOBase) -> Iterator[bytes]:
    """The first piece of each line."""
    most = LONGEST_LINE + 2  # and a line end of two bytes
    while piece := stream.readline(most):
        yield piece
        while len(piece) == most and not piece.endswith(b"\n"):
            piece = stream.readline(most)
