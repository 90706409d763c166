"""Checkpoints that a crash cannot spoil and that cannot run code.

A checkpoint is a folder `step-000100` of safetensors files and one `checkpoint.json`, which holds the facts that
are not tensors and the SHA-256 of every file. It is written beside, synced to the disk and renamed, so a folder
with that name is whole. The files `best` and `last` hold the name of a checkpoint, and are replaced in one step too.

Before, they were symbolic links, which are directories where a run was copied by something that follows links. Both
are read, and become files when the run is saved to.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from attentio.errors import AttentioError
from attentio.files import read_json, read_text
from attentio.system import naming, replace_text, sync

Tensors = dict[str, Tensor]
FACTS = "checkpoint.json"
POINTERS = ("last", "best")
LONGEST_NAME = 1000
_STEP = re.compile(r"step-[0-9]{6,18}")


class Checkpoint(NamedTuple):
    """What was read back: the facts, and the tensors of each file that was asked for."""

    path: Path
    facts: dict[str, Any]
    tensors: dict[str, Tensors]


class Checkpoints:
    """The checkpoints of a run directory.

    folder: the run directory. keep: how many of the latest stay, besides the best.
    """

    def __init__(self, folder: Path, *, keep: int = 3) -> None:
        self.folder, self.keep = folder, keep
        self.steps = folder / "checkpoints"

    def save(self, step: int, tensors: dict[str, Tensors], facts: dict[str, Any], *, best: bool) -> Path:
        """Write `step-{step}` with one safetensors file for each entry of `tensors`; move `last`, and `best` if so."""
        final = self.of(step)
        beside = self.steps / f".saving-{final.name}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for name, entries in tensors.items():
            with naming(beside / name):
                save_file({key: tensor.cpu().contiguous() for key, tensor in entries.items()}, beside / name)
        hashes = {name: _hash(beside / name) for name in tensors}
        (beside / FACTS).write_text(json.dumps({"step": step, "sha256": hashes, **facts}, indent=1), encoding="utf-8")
        for path in beside.iterdir():
            if path.name != FACTS:  # safetensors lets only their owner read them
                shutil.copymode(beside / FACTS, path)
            sync(path)
        sync(beside)
        if final.exists():  # saved before a crash that kept `last` from moving here
            shutil.rmtree(final)
        os.replace(beside, final)
        sync(self.steps)
        for which in POINTERS:
            if which == "last" or best:
                self.point(which, final)
            elif (self.folder / which).is_dir():  # as runs had it before: a link, or one that was followed
                self.point(which, self.path(which))
        self._prune()
        return final

    def load(self, which: str, *files: str) -> Checkpoint:
        """Read `files` of the checkpoint that `which` ("best" or "last") names.

        Raises AttentioError where something is missing, truncated or altered, naming the file and the remedy.
        """
        return _read(self.path(which), self._remedy(which), *files)

    def load_latest(self, count: int, *files: str) -> Iterator[Checkpoint]:
        """Read `files` of the newest `count` checkpoints, one after the other, the newest last.

        Raises AttentioError as `load` does, and where there are fewer.
        """
        found = self._all()[-count:]
        if len(found) < count:
            raise AttentioError(
                f"{self.steps} holds {len(found)} checkpoints, not {count}; average fewer, or train with a larger "
                f"training.keep_checkpoints"
            )
        for path in found:
            yield _read(path, "average fewer, or train again", *files)

    def exists(self) -> bool:
        """Whether there is a checkpoint to go on from, or what is left of one."""
        return any(self.has(which) for which in POINTERS) or bool(self._all())

    def has(self, which: str) -> bool:
        """Whether `which` ("best" or "last") names a checkpoint, be it there or not."""
        return os.path.lexists(self.folder / which)

    def of(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.steps / f"step-{step:06d}"

    def path(self, which: str) -> Path:
        """The checkpoint that `which` ("best" or "last") names; the newest whole one if it is lost.

        Raises AttentioError where there is none, or none of that name in `checkpoints`.
        """
        pointer = self.folder / which
        if not self.has(which):
            return self._newest(which)
        if pointer.is_symlink():
            name = os.readlink(pointer)
        elif pointer.is_dir():
            name = self.of(_read_facts(pointer, self._remedy(which))["step"]).name
        else:
            name = read_text(pointer, most=LONGEST_NAME).strip()
        name = name.removeprefix("checkpoints/")  # in links
        if not _STEP.fullmatch(name):
            raise AttentioError(f"{pointer} must hold a name such as step-000100; {self._remedy(which)}")
        path = self.steps / name
        if path.is_symlink() or not path.is_dir():
            raise AttentioError(f"{pointer} names {path}, which is missing; {self._remedy(which)}")
        return path

    def point(self, which: str, target: Path) -> None:
        """Let `which` ("best" or "last") name the checkpoint `target`, in one step."""
        pointer = self.folder / which
        if pointer.is_dir() and not pointer.is_symlink():
            os.replace(pointer, self.steps / f".saving-{which}")  # no file can replace a directory
        replace_text(pointer, f"{target.name}\n")

    def _all(self) -> list[Path]:
        """The checkpoints, the newest last. What else lies beside them is somebody else's."""
        found = [path for path in self.steps.glob("step-*") if _STEP.fullmatch(path.name) and path.is_dir()]
        return sorted((path for path in found if not path.is_symlink()), key=lambda path: int(path.name[5:]))

    def _newest(self, which: str) -> Path:
        for path in reversed(self._all()):
            if _is_whole(path):
                return path
        raise AttentioError(
            f"{self.folder / which} is missing, and no checkpoint in {self.steps} is whole; train to another --run"
        )

    def _remedy(self, which: str) -> str:
        return f"write the name of another step in {self.steps} into {self.folder / which}, or train again"

    def _prune(self) -> None:
        wanted = {self.path(which) for which in POINTERS if self.has(which)}
        for path in self._all()[: -self.keep]:
            if path not in wanted:
                shutil.rmtree(path)
        for path in self.steps.glob(".saving-*"):
            shutil.rmtree(path)


def _read(path: Path, remedy: str, *files: str) -> Checkpoint:
    facts = _read_facts(path, remedy)
    hashes = facts["sha256"]
    tensors = {}
    for name in files:
        try:
            if not (path / name).is_file():  # a pipe would never end
                raise FileNotFoundError
            if _hash(path / name) != hashes.get(name):
                raise AttentioError(f"{path / name} has been truncated or altered since it was saved; {remedy}")
            tensors[name] = load_file(path / name)
        except (OSError, SafetensorError):
            raise AttentioError(f"{path / name} cannot be read; {remedy}") from None
    return Checkpoint(path, facts, tensors)


def _read_facts(path: Path, remedy: str) -> dict[str, Any]:
    """The facts of a checkpoint, with its step and the hashes of its files."""
    try:
        facts = read_json(path / FACTS)
    except AttentioError:
        reason = "is damaged" if (path / FACTS).is_file() else "is missing"
        raise AttentioError(f"{path / FACTS} {reason}; {remedy}") from None
    kinds: dict[str, type] = {"step": int, "sha256": dict, "progress": dict, "config": dict}
    kinds |= dict.fromkeys(("tokenizer_sha256", "code_sha256"), dict)
    for name, kind in kinds.items():
        needed = name in ("step", "sha256")  # the others are of training, and not in the oldest checkpoints
        if not isinstance(facts.get(name, None if needed else kind()), kind):
            raise AttentioError(f"{path / FACTS} is damaged; {remedy}")
    return facts


def _is_whole(path: Path) -> bool:
    try:
        hashes = _read_facts(path, "")["sha256"]
        found = {file.name: _hash(file) for file in path.iterdir() if file.name in hashes}
    except (AttentioError, OSError):
        return False
    return bool(hashes) and found == hashes


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
