"""Lines of standard input as they arrive: many at a time of a file, and of a program that waits for the answer those
that it has sent."""

import io
from collections.abc import Iterator
from typing import Protocol, TypeVar, runtime_checkable

from attentio import system
from attentio.errors import AttentioError

AT_A_TIME = 2048
"""Enough to put lines of like length together; few enough to see output while more is coming."""

_PIECE = 1 << 16
_PAUSE = 0.1
"""Seconds without a new line, after which those that are there are answered."""

_Line = TypeVar("_Line")


@runtime_checkable
class Stream(Protocol):
    """A binary stream; one of a file, pipe or terminal has `raw`, the stream under its buffer."""

    def readline(self, size: int = ..., /) -> bytes: ...


class Arriving(io.RawIOBase):
    """A stream of lines that can tell whether the next one is still to come."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream, self._left = stream, bytearray()
        self._raw: io.RawIOBase | None = getattr(stream, "raw", None)  # none of what is in memory

    def readline(self, size: int | None = -1) -> bytes:
        """As of any binary stream."""
        if self._raw is None:
            return self._stream.readline(-1 if size is None else size)
        most = size if size is not None and size >= 0 else float("inf")
        looked = 0
        while not (end := self._left.find(b"\n", looked) + 1) and len(self._left) < most:
            looked = len(self._left)
            more = self._raw.read(_PIECE)
            if not more:
                break
            self._left += more
        end = int(min(end or len(self._left), most))
        line = bytes(self._left[:end])
        del self._left[:end]
        return line

    def pauses(self) -> bool:
        """Whether there is neither a line nor the end, and none comes for a moment."""
        if self._raw is None or b"\n" in self._left:
            return False
        return not system.comes_within(_PAUSE, self._raw.fileno())


def as_they_arrive(lines: Iterator[_Line], stream: Arriving) -> Iterator[list[_Line]]:
    """Up to `AT_A_TIME` of the lines that are made of a stream, one of each, and fewer where it pauses.

    Raises:
        AttentioError: a line is bad; those before it have been given.
    """
    for line in lines:
        chunk, bad = [line], None
        while len(chunk) < AT_A_TIME and not stream.pauses():
            try:
                more = next(lines, None)
            except AttentioError as error:
                bad = error
                break
            if more is None:
                break
            chunk.append(more)
        yield chunk
        if bad is not None:
            raise bad
