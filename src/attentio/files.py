"""Files as they are read: regular ones only, and no bigger than they may be. A pipe may never end."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from attentio.errors import AttentioError, did_you_mean

LARGEST = 2**28
"""Bytes of a file that is read whole. Vocabularies of a million entries have some tens of millions."""


def is_missing(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at may be there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name can hold a NUL
        return True
    except OSError:
        pass
    return False


def check_regular(path: Path, *, most: int | None = None) -> None:
    """Whether there is a regular file, which may be read and holds at most `most` bytes.

    Raises:
        AttentioError: it is not so; the message begins with the path.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise AttentioError(f"{path}: a pipe or a device, not a regular file; write what it holds to a file first")
        path.open("rb").close()
    except AttentioError:
        raise
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name can hold a NUL
        raise AttentioError(f"{path}: no such file{_nearest(path)}") from None
    except OSError as error:
        raise AttentioError(f"{path}: cannot be read: {error.strerror}; give a file you may read") from None
    if most is not None and found.st_size > most:
        raise AttentioError(f"{path}: {found.st_size:,} bytes, more than the limit of {most:,}; is it the right file?")


def read_text(path: Path, *, most: int) -> str:
    """A file of UTF-8; AttentioError as `check_regular`, and for another encoding."""
    check_regular(path, most=most)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AttentioError(f"{path}: invalid UTF-8 at byte {error.start + 1}; save the file as UTF-8") from None


def read_json(path: Path, *, most: int = LARGEST) -> dict[str, Any]:
    """The object in a file of JSON; AttentioError as `read_text`, and for anything else."""
    return parse_json(read_text(path, most=most), path)


def parse_json(text: str | bytes, origin: Path) -> dict[str, Any]:
    """The object in a text of JSON; AttentioError, beginning with the origin, for anything else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AttentioError(f"{origin}: damaged JSON ({error}); copy it again") from None
    if not isinstance(content, dict):
        raise AttentioError(f"{origin}: not a JSON object; copy it again")
    return content


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f", and no folder {path.parent}; check the path"
    try:
        beside = [entry.name for entry in os.scandir(path.parent) if not entry.is_dir()]
    except OSError:  # a folder that may be entered, not listed
        beside = []
    return did_you_mean(path.name, beside) or "; check the path"
