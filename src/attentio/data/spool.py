"""Rows of text that may be more than the memory holds: where they are many, they are kept in a file."""

import hashlib
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

from attentio import system
from attentio.errors import AttentioError

AnyRow = TypeVar("AnyRow")

MOST_IN_MEMORY = 2**18
"""Rows that are kept as a list: pairs of sentences take some hundred bytes each."""

_END, _BETWEEN = b"\xff", b"\xfe"
"""After each row, and between the texts of a row: UTF-8 has no such bytes."""
_AT_ONCE = 2**12  # rows
_BLOCK = 2**20  # bytes
_MARKED = 2**10  # of so many rows, the place of the first is remembered


def collected(rows: Iterable[AnyRow]) -> Sequence[AnyRow]:
    """The rows, all texts or all tuples of texts of one type: a list, or a `Spool` where they are many."""
    rest = iter(rows)
    first = list(islice(rest, MOST_IN_MEMORY))
    more = list(islice(rest, 1))
    return Spool(chain(first, more, rest)) if more else first


class Spool(Sequence[AnyRow]):
    """Rows in a file without a name, which is gone when they are. They are quick to go through, slow to pick from.

    digest: the SHA-256 of what they hold.

    Raises AttentioError where they would take more than half of the disk's room.
    """

    def __init__(self, rows: Iterable[AnyRow]) -> None:
        folder = system.scratch_folder()
        room = shutil.disk_usage(folder).free // 2
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, it is closed with the rows
        self._marks, self._count = array("Q"), 0
        weakref.finalize(self, self._file.close)
        self._type: Any = None
        sha, size, rest = hashlib.sha256(), 0, iter(rows)
        while some := list(islice(rest, _AT_ONCE)):
            self._type = self._type or type(some[0])
            for start in range(0, len(some), _MARKED):
                self._marks.append(size)
                written = b"".join(map(self._written, some[start : start + _MARKED]))
                sha.update(written)
                self._file.write(written)
                size += len(written)
                if size > room:
                    raise AttentioError(
                        f"the data take more than half of the room in {folder}; set TMPDIR to a folder with more"
                    )
            self._count += len(some)
        self.digest = sha.hexdigest()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[AnyRow]:
        return self._from(0)

    def __getitem__(self, index: Any) -> Any:
        """A row by its number, from 0."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        return next(islice(self._from(self._marks[index // _MARKED]), index % _MARKED, None))

    def _written(self, row: Any) -> bytes:
        return (row.encode() if self._type is str else _BETWEEN.join(map(str.encode, row))) + _END

    def _read(self, row: bytes) -> Any:
        return row.decode() if self._type is str else self._type(*map(bytes.decode, row.split(_BETWEEN)))

    def _from(self, place: int) -> Iterator[AnyRow]:
        """The rows that begin at a place of the file or after it."""
        left = b""
        while block := self._block(place):
            place += len(block)
            *whole, left = (left + block).split(_END)
            for row in whole:
                yield self._read(row)

    def _block(self, place: int) -> bytes:
        self._file.seek(place)
        return self._file.read(_BLOCK)


class TextsOf:
    """The texts of rows, to be gone through as often as needed. places: of the texts in a row, one after the other."""

    def __init__(self, rows: Iterable[Sequence[str]], *places: int) -> None:
        self.rows, self.places = rows, places

    def __iter__(self) -> Iterator[str]:
        return (row[place] for place in self.places for row in self.rows)
