"""Folders of text files, worked through in parts: whatever is stopped or killed, no line is lost or doubled.

A part is some lines of a file. What comes of it is written whole, under a lock that its process holds and that the
system opens when the process ends; so any number of processes share the work, and the next start does what is missing.
When all parts of a file are there they are joined. Beside the outputs stands `.attentio/NAME/`, with the parts and with
what they were made of.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from attentio import system
from attentio.data.lines import file_lines
from attentio.errors import AttentioError, extra
from attentio.files import read_json

with extra("train"):
    from filelock import FileLock, Timeout

LINES = 4096
"""Of a part: enough to put lines of like length together, few enough to lose little and to share the work."""

_STATE = ".attentio"


@dataclass(frozen=True)
class Job:
    """A file to be worked through.

    source, target: of what is read and written. state: the folder of its parts. facts: what the outputs are made of.
    """

    source: Path
    target: Path
    state: Path
    facts: Mapping[str, Any]

    @property
    def lines(self) -> int:
        """Of the source."""
        return int(self.facts["lines"])

    def part(self, number: int) -> Path:
        """Where what comes of a part is kept, by its number from 0."""
        return self.state / f"part-{number:06d}"

    def missing(self) -> list[int]:
        """The numbers of the parts that are not there; none of a file that is done."""
        missing = [number for number in range(-(-self.lines // LINES)) if not self.part(number).exists()]
        return [] if self.target.exists() else missing  # looked at last: parts go when it comes

    def lines_done(self) -> int:
        """How many lines are written."""
        return max(0, self.lines - LINES * len(self.missing()))


def jobs_of(folder: Path, output: Path, made_with: Mapping[str, Any]) -> list[Job]:
    """A job for each file of a folder and of those in it; what is hidden is left out. Outputs have the same names.

    made_with: what the outputs depend on besides the file, as JSON.

    Raises AttentioError for folders that cannot be read or written, without files, or with outputs of something else.
    """
    if not folder.is_dir():
        raise AttentioError(f"{folder}: no such folder; give the one that holds the files")
    if output.resolve().is_relative_to(folder.resolve()):
        raise AttentioError(f"{output} is within {folder}, and would be read too; choose another --output")
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if not any(each.startswith(".") for each in name.parts):
            target = output / name.with_name(name.name.removesuffix(".gz"))
            found.append(Job(path, target, output / _STATE / name, {**_facts(path), **made_with}))
    if not found:
        raise AttentioError(f"{folder}: no files in it; give the folder that holds them")
    _check_apart(found)
    for job in found:
        _begin(job)
    return found


def work(
    jobs: Sequence[Job],
    translate: Callable[[Path, int, Sequence[bytes]], Sequence[str]],
    *,
    each_part: Callable[[], None] = lambda: None,
) -> None:
    """Do what is missing and what no other process does; then wait for the others, and do what they have left.

    translate: given a file, the number of the first line, from 1, and lines of it; gives a line for each.

    Raises AttentioError for a file that has changed, and what `translate` raises.
    """
    for waits in (False, True):
        for job in jobs:
            missing = set(job.missing())
            parts = enumerate(_parts(job.source)) if missing else ()
            for number, lines in parts:
                if number in missing:
                    with contextlib.suppress(Timeout), FileLock(_lock(job.part(number)), timeout=-1 if waits else 0):
                        if not job.part(number).exists() and not job.target.exists():
                            outputs = translate(job.source, number * LINES + 1, lines)
                            if len(outputs) != len(lines):
                                raise ValueError(f"translate gave {len(outputs)} outputs for {len(lines)} lines")
                            system.replace_text(job.part(number), "".join(f"{each}\n" for each in outputs))
                    each_part()
            _join(job)


def _check_apart(jobs: Sequence[Job]) -> None:
    """AttentioError where two outputs are one file, or one is a file where another needs a folder."""
    written: dict[Path, Path] = {}
    for job in jobs:
        if (other := written.setdefault(job.target, job.source)) != job.source:
            raise AttentioError(f"{other} and {job.source} would be written to one file; rename one of them")
    for job in jobs:
        for folder in job.target.parents:
            if folder in written:
                raise AttentioError(
                    f"{written[folder]} would be written to {folder}, which is to be the folder of {job.source.name}; "
                    "rename one of them"
                )


def _begin(job: Job) -> None:
    """Note what the outputs are made of, or check that those which are there are made of the same."""
    job.state.mkdir(parents=True, exist_ok=True)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    facts = job.state / "job.json"
    with FileLock(_lock(facts)):
        if not facts.exists():
            if job.target.exists():
                raise AttentioError(f"{job.target} is there already; remove it, or choose another --output")
            system.replace_text(facts, json.dumps(job.facts, indent=1) + "\n")
            return
    if read_json(facts) != json.loads(json.dumps(job.facts)):
        raise AttentioError(
            f"{job.state} holds parts of another {job.source.name}, or of another model or other options; "
            f"choose another --output, or remove {job.state} and {job.target} to begin anew"
        )


def _join(job: Job) -> None:
    """Make the output of its parts, if all are there."""
    with FileLock(_lock(job.state / "job.json")):
        if job.missing():
            return
        if not job.target.exists():
            if _facts(job.source)["sha256"] != job.facts["sha256"]:
                raise AttentioError(f"{job.source} has changed while it was worked through; start again")
            beside = job.target.with_name(f".{job.target.name}.new")
            with beside.open("wb") as joined:
                for number in range(-(-job.lines // LINES)):
                    with job.part(number).open("rb") as part:
                        shutil.copyfileobj(part, joined)
            system.sync(beside)
            os.replace(beside, job.target)
            system.sync(job.target.parent)
        for path in job.state.glob("part-*"):
            with contextlib.suppress(OSError):  # of a lock that another process looks at, on Windows
                path.unlink()


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _parts(path: Path) -> Iterator[list[bytes]]:
    lines = file_lines(path, may_be_empty=True)
    while some := list(islice(lines, LINES)):
        yield some


def _facts(path: Path) -> dict[str, Any]:
    sha, count = hashlib.sha256(), 0
    for line in file_lines(path, may_be_empty=True):
        sha.update(line + b"\n")
        count += 1
    return {"sha256": sha.hexdigest(), "lines": count, "lines_of_a_part": LINES}
