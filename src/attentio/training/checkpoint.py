"""Checkpoints that a crash cannot spoil and that cannot run code.

A checkpoint is a folder `step-000100` of safetensors files and one `checkpoint.json`, which holds the facts that
are not tensors and the SHA-256 of every file. It is written beside, synced to the disk and renamed, so a folder
with that name is whole; the links `best` and `last` are replaced in one step as well.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from attentio.errors import AttentioError

Tensors = dict[str, Tensor]
FACTS = "checkpoint.json"


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
        final = self.steps / f"step-{step:06d}"
        beside = self.steps / f".saving-{final.name}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for name, entries in tensors.items():
            save_file({key: tensor.contiguous() for key, tensor in entries.items()}, beside / name)
        hashes = {name: _hash(beside / name) for name in tensors}
        (beside / FACTS).write_text(json.dumps({"step": step, "sha256": hashes, **facts}, indent=1))
        for path in beside.iterdir():
            _sync(path)
        _sync(beside)
        if final.exists():  # saved before a crash that kept `last` from moving here
            shutil.rmtree(final)
        os.replace(beside, final)
        _sync(self.steps)
        for link in ("last", "best") if best else ("last",):
            self.point(link, final)
        self._prune()
        return final

    def load(self, which: str, *files: str) -> Checkpoint:
        """Read `files` of the checkpoint that `which` ("best" or "last") points to.

        Raises AttentioError where something is missing, truncated or altered, naming the file and the remedy.
        """
        path = (self.folder / which).resolve()
        remedy = f"point the link {self.folder / which} at another step in {self.steps}, or train again"
        try:
            facts = json.loads((path / FACTS).read_text())
            hashes = dict(facts["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = "is missing" if isinstance(error, OSError) else "is damaged"
            raise AttentioError(f"{path / FACTS} {reason}; {remedy}") from None
        tensors = {}
        for name in files:
            try:
                if _hash(path / name) != hashes.get(name):
                    raise AttentioError(f"{path / name} has been truncated or altered since it was saved; {remedy}")
                tensors[name] = load_file(path / name)
            except (OSError, SafetensorError):
                raise AttentioError(f"{path / name} cannot be read; {remedy}") from None
        return Checkpoint(path, facts, tensors)

    def exists(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.folder / "last").is_symlink()

    def point(self, link: str, target: Path) -> None:
        """Let `link` ("best" or "last") be the checkpoint `target`, in one step."""
        beside = self.folder / f".{link}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(Path(self.steps.name, target.name))
        os.replace(beside, self.folder / link)
        _sync(self.folder)

    def _prune(self) -> None:
        wanted = {(self.folder / link).resolve() for link in ("last", "best")}
        latest = sorted(self.steps.glob("step-*"), key=lambda path: int(path.name[5:]))
        for path in latest[: -self.keep]:
            if path.resolve() not in wanted:
                shutil.rmtree(path)
        for path in self.steps.glob(".saving-*"):
            shutil.rmtree(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
