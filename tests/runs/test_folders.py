"""Folders are worked through whole, whoever is killed and however many work on them."""

import gzip
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from attentio.errors import AttentioError
from attentio.runs import folders
from attentio.runs.folders import Job, jobs_of, work

WORKER = """
import sys, time
from pathlib import Path
from attentio.runs import folders
folders.LINES = 7
def slowly(path, first, lines):
    time.sleep(0.004)
    return [f"{first + number} {line.decode()}" for number, line in enumerate(lines)]
folders.work(folders.jobs_of(Path("in"), Path("out"), {}), slowly)
"""


def numbered(path: Path, first: int, lines: Sequence[bytes]) -> list[str]:
    return [f"{first + number} {line.decode()}" for number, line in enumerate(lines)]


def write(folder: Path, sizes: dict[str, int]) -> dict[str, str]:
    """Files of so many lines; returns what must come of each."""
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"{name} {number}\n" for number in range(size)), encoding="utf-8")
    return {name: "".join(f"{number + 1} {name} {number}\n" for number in range(size)) for name, size in sizes.items()}


def written(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and ".attentio" not in path.parts
    }


def test_workers_that_are_killed_again_and_again_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    expected = write(tmp_path / "in", {"a.txt": 700, "b/c.txt": 1, "b/empty": 0, "d": 701})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def begin() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", WORKER], cwd=tmp_path, env=environment)

    def parts() -> int:
        return len([*(tmp_path / "out").rglob("part-??????")])

    workers = [begin(), begin()]
    for _ in range(3):
        before = parts()
        while parts() <= before + 3 and not (tmp_path / "out" / "d").exists():
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.01))
        victim = draw.randrange(2)
        workers[victim].kill()
        workers[victim].wait()
        workers[victim] = begin()
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    assert written(tmp_path / "out") == expected
    assert parts() == 0


def begun(folder: Path, **made_with: object) -> list[Job]:
    return jobs_of(folder / "in", folder / "out", made_with)


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LINES", 2)
    expected = write(tmp_path / "in", {"a": 5, ".hidden": 3})
    asked: list[int] = []

    def stopping(path: Path, first: int, lines: Sequence[bytes]) -> list[str]:
        asked.append(first)
        if first == 3:
            raise AttentioError("a bad line")
        return numbered(path, first, lines)

    with pytest.raises(AttentioError, match="a bad line"):
        work(begun(tmp_path, beam=5), stopping)
    assert written(tmp_path / "out") == {}
    with pytest.raises(AttentioError, match=r"holds parts of another a, or of another model or other options"):
        begun(tmp_path, beam=1)

    def noting(path: Path, first: int, lines: Sequence[bytes]) -> list[str]:
        asked.append(first)
        return numbered(path, first, lines)

    jobs = begun(tmp_path, beam=5)
    assert [job.lines_done() for job in jobs] == [1]
    work(jobs, noting)
    work(begun(tmp_path, beam=5), noting)
    assert asked == [1, 3, 3, 5]
    assert written(tmp_path / "out") == {"a": expected["a"]}
    assert [job.lines_done() for job in jobs] == [5]


def test_a_file_that_changes_on_the_way_is_not_joined(tmp_path: Path) -> None:
    write(tmp_path / "in", {"a": 3})
    jobs = begun(tmp_path)
    (tmp_path / "in" / "a").write_text("b\nb\nb\n")
    with pytest.raises(AttentioError, match="a has changed while it was worked through"):
        work(jobs, numbered)


def test_folders_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AttentioError, match="in: no such folder"):
        begun(tmp_path)
    (tmp_path / "in").mkdir()
    with pytest.raises(AttentioError, match="in: no files in it"):
        begun(tmp_path)
    write(tmp_path / "in", {"a": 3})
    with pytest.raises(AttentioError, match=r"is within .*in, and would be read too"):
        jobs_of(tmp_path / "in", tmp_path / "in" / "out", {})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine\n")
    with pytest.raises(AttentioError, match="a is there already; remove it, or choose another --output"):
        begun(tmp_path)
    (tmp_path / "in" / "a.gz").write_bytes(b"")
    with pytest.raises(AttentioError, match="would be written to one file; rename one of them"):
        begun(tmp_path)


def test_a_file_where_another_output_needs_a_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in", {"a": 1, "foo/bar": 2})
    with gzip.open(tmp_path / "in" / "foo.gz", "wb") as file:
        file.write(b"one\n")
    with pytest.raises(AttentioError, match=r"foo\.gz would be written to .*foo, which is to be the folder of bar"):
        jobs_of(tmp_path / "in", tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
