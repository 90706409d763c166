"""Arrays that are made once, kept in files, and mapped into memory: a training reads of them what it needs."""

import hashlib
import json
import mmap
import shutil
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from attentio import system
from attentio.errors import AttentioError, extra
from attentio.files import read_json

Arrays = dict[str, np.ndarray]

_FACTS = "arrays.json"


class Stored:
    """Numbers in a file, read where they are asked for.

    For rows from all over the file: of one that is mapped, much more than these rows would come into memory.
    """

    def __init__(self, path: Path, kind: Any) -> None:
        self._kind, self._path = np.dtype(kind), path
        self._file = path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)

    def runs(self, starts: Int[np.ndarray, "runs"], lengths: Int[np.ndarray, "runs"]) -> np.ndarray:
        """So many numbers from each start, end to end. AttentioError where the file has become shorter."""
        found = np.empty(int(lengths.sum()), self._kind)
        bytes_of, size, place = found.view(np.uint8).data, self._kind.itemsize, 0
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            self._file.seek(start * size)
            if self._file.readinto(bytes_of[place : place + length * size]) != length * size:
                raise AttentioError(f"{self._path} has become shorter while it was read; start again")
            place += length * size
        return found


class Cache(NamedTuple):
    """Where the arrays of large data are kept.

    folder: with a folder of its own for each set of arrays. track: wraps what is gone through to make them, given how
    much that is, and shows how far it has come.
    """

    folder: Path
    track: Callable[[Iterable[Any], int], Iterable[Any]]

    def files(self, made_of: Iterable[str], types: Mapping[str, Any], pieces: Iterable[Arrays]) -> Path:
        """The folder with a file for each array, made unless it is whole. made_of: what decides what is in them."""
        with extra("train"):
            from filelock import FileLock
        key = hashlib.sha256(json.dumps([*made_of]).encode()).hexdigest()[:32]
        final, beside = self.folder / key, self.folder / f".making-{key}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{key}.lock"):  # other processes of the same training wait, and then read
            if not _is_whole(final):
                shutil.rmtree(final, ignore_errors=True)
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir()
                _write(beside, types, pieces)
                beside.rename(final)
                system.sync(self.folder)
        return final

    def arrays(self, made_of: Iterable[str], types: Mapping[str, Any], pieces: Iterable[Arrays]) -> Arrays:
        """As `joined`, mapped from the `files`."""
        folder = self.files(made_of, types, pieces)
        return {name: mapped(folder / name, kind) for name, kind in types.items()}


def joined(types: Mapping[str, Any], pieces: Iterable[Arrays]) -> Arrays:
    """The pieces of each array end to end, in memory."""
    found = list(pieces)
    return {
        name: np.concatenate([np.empty(0, kind), *(piece[name] for piece in found)]) for name, kind in types.items()
    }


def _write(folder: Path, types: Mapping[str, Any], pieces: Iterable[Arrays]) -> None:
    sums = {name: hashlib.sha256() for name in types}
    with ExitStack() as opened:
        files = {name: opened.enter_context((folder / name).open("wb")) for name in types}
        for piece in pieces:
            for name, kind in types.items():
                content = np.ascontiguousarray(piece[name], dtype=kind).tobytes()
                sums[name].update(content)
                files[name].write(content)
    facts = json.dumps({name: each.hexdigest() for name, each in sums.items()})
    (folder / _FACTS).write_text(facts, encoding="utf-8")
    for path in folder.iterdir():
        system.sync(path)


def _is_whole(folder: Path) -> bool:
    try:
        sums = read_json(folder / _FACTS)
        for name, digest in sums.items():
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
    except (AttentioError, OSError):
        return False
    return True


def mapped(path: Path, kind: Any) -> np.ndarray:
    """The array in a file, of which comes into memory what is looked at, and what is near it."""
    if path.stat().st_size == 0:  # of which there is nothing to map
        return np.empty(0, kind)
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), kind)


def release(*arrays: np.ndarray) -> None:
    """Of arrays in files, take from memory what was read; else all that is ever read would stay while there is room."""
    for array in arrays:
        if isinstance(array.base, memoryview) and isinstance(array.base.obj, mmap.mmap):
            system.let_go(array.base.obj)
