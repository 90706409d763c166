"""attentio translate --input --output: each file of a folder."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attentio.runs import folders

LINES = ["abc", "", "fedcba", "gg", "hade", "  ", "bcefgh", "cab"]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "in" / "more").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("\n".join(LINES), encoding="utf-8")
    (tmp_path / "in" / "more" / "b.txt").write_text("\r\n".join(LINES[::-1]) + "\r\n", encoding="utf-8")
    return tmp_path


def test_each_file_becomes_what_its_lines_become(
    toy, given: Path, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LINES", 3)
    expected = attentio("translate", toy.run, given="\n".join(LINES).encode()).out
    command = ("translate", toy.run, "--input", given / "in", "--output", given / "out")
    said = attentio(*command)
    assert said.code == 0
    assert said.err.splitlines()[-1] == f"16 lines of 2 files are translated, in {given / 'out'}"
    assert (given / "out" / "a.txt").read_text(encoding="utf-8") == expected
    assert (given / "out" / "more" / "b.txt").read_text(encoding="utf-8").splitlines() == expected.splitlines()[::-1]
    assert attentio(*command).code == 0
    other = attentio(*command, "--beam", 2)
    assert other.code == 2
    assert "holds parts of another a.txt, or of another model or other options; choose another --output" in other.err


def test_empty_files_become_empty_files(toy, given: Path, attentio: Callable) -> None:
    (given / "in" / "c.txt").touch()
    with gzip.open(given / "in" / "d.txt.gz", "wb"):
        pass
    assert attentio("translate", toy.run, "--input", given / "in", "--output", given / "out").code == 0
    assert (given / "out" / "c.txt").read_bytes() == b""
    assert (given / "out" / "d.txt").read_bytes() == b""


def test_several_processes_share_a_folder(toy, given: Path, attentio: Callable) -> None:
    expected = attentio("translate", toy.run, given="\n".join(LINES).encode()).out
    command = ("translate", toy.run, "--input", given / "in", "--output", given / "out")
    assert attentio(*command, "--processes", 2).code == 0
    assert (given / "out" / "a.txt").read_text(encoding="utf-8") == expected


def test_a_bad_line_is_told_with_its_file_and_number(
    toy, given: Path, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LINES", 3)
    (given / "in" / "a.txt").write_text("abc\n" * 4 + "<unk>\n", encoding="utf-8")
    command = ("translate", toy.run, "--input", given / "in", "--output", given / "out")
    said = attentio(*command)
    assert (said.code, said.out) == (2, "")
    assert "a.txt:5: holds the reserved symbol <unk>" in said.err
    assert attentio(*command, "--bad-lines", "skip").code == 0
    *whole, last = (given / "out" / "a.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert (len(whole), last) == (4, "")


def test_options_that_do_not_go_together_are_refused(toy, given: Path, attentio: Callable) -> None:
    alone = attentio("translate", toy.run, "--input", given / "in")
    assert (alone.code, "both --input DIR and --output DIR" in alone.err) == (2, True)
    listed = attentio("translate", toy.run, "--input", given / "in", "--output", given / "out", "--n-best", 2)
    assert (listed.code, "--n-best is for lines of standard input" in listed.err) == (2, True)
    drawn = attentio("translate", toy.run, "--input", given / "in", "--output", given / "out", "--seed", 0)
    assert (drawn.code, "--seed is for lines of standard input" in drawn.err) == (2, True)


def test_an_option_of_the_run_that_has_changed_is_another_option(toy, given: Path, attentio: Callable) -> None:
    run = Path(shutil.copytree(toy.run, given / "run"))
    command = ("translate", run, "--input", given / "in", "--output", given / "out")
    assert attentio(*command).code == 0
    config = (run / "config.yaml").read_text(encoding="utf-8")
    assert "max_length_ratio: 3.0" in config
    (run / "config.yaml").write_text(
        config.replace("max_length_ratio: 3.0", "max_length_ratio: 0.01"), encoding="utf-8"
    )
    said = attentio(*command)
    assert (said.code, "or of another model or other options" in said.err) == (2, True)
