"""Arrays that are made once, kept in files, and mapped into memory: a training reads of them what it needs."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attentio import system
from attentio.errors import AttentioError, extra
from attentio.files import read_json

Arrays = dict[str, np.ndarray]

_FACTS = "arrays.json"


class Cache(NamedTuple):
    """Where the arrays of large data are kept.

    folder: with a folder of its own for each set of arrays. track: wraps what is gone through to make them, given how
    much that is, and shows how far it has come.
    """

    folder: Path
    track: Callable[[Iterable[Any], int], Iterable[Any]]

    def arrays(self, made_of: Iterable[str], types: Mapping[str, Any], pieces: Iterable[Arrays]) -> Arrays:
        """As `joined`, from the files if they are whole. made_of: texts that decide what is in the arrays."""
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
        return {name: _mapped(final / name, np.dtype(kind)) for name, kind in types.items()}


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


def _mapped(path: Path, kind: np.dtype) -> np.ndarray:
    if path.stat().st_size == 0:  # of which there is nothing to map
        return np.empty(0, kind)
    return np.memmap(path, dtype=kind, mode="r")
