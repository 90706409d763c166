"""Files as they are read: what is no regular file, or too big, is refused before a byte of it is read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attentio.config.read import load_config
from attentio.data.lines import LONGEST_LINE, file_lines
from attentio.data.pairs import read_pairs
from attentio.errors import AttentioError
from attentio.files import read_json, read_text


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_loop(path: Path) -> None:
    path.symlink_to(path)


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name and devices are of Unix")
@pytest.mark.parametrize("read", [lambda path: read_text(path, most=9), read_json, lambda path: list(file_lines(path))])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (fifo, "a pipe or a device, not a regular file"),
        (link_to_zeros, "a pipe or a device, not a regular file"),
        (link_loop, "cannot be read: Too many levels of symbolic links"),
        (Path.mkdir, "cannot be read: Is a directory"),
        (lambda path: None, "no such file; check the path"),
    ],
)
def test_only_regular_files_are_read(
    tmp_path: Path, read: Callable[[Path], object], make: Callable[[Path], None], told: str
) -> None:
    path = tmp_path / "zzz"
    make(path)
    with pytest.raises(AttentioError, match=rf"^{path}: {told}"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.touch(mode=0o000)
    with pytest.raises(AttentioError, match="cannot be read: Permission denied"):
        read_text(path, most=9)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{}" * 40, "80 bytes, more than the limit of 64"),
        (b"\xff", "invalid UTF-8 at byte 1"),
        (b"[", "damaged JSON"),
        (b"9" * 60, "not a JSON object"),
    ],
)
def test_other_content_than_a_json_object_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(AttentioError, match=rf"some\.json: {told}"):
        read_json(path, most=64)


def test_json_that_is_too_deep_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"a":' + "[" * 200_000)
    with pytest.raises(AttentioError, match=r"deep\.json: damaged JSON"):
        read_json(path)


def test_a_line_is_not_read_beyond_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attentio.data.lines.LONGEST_LINE", 50)
    path = tmp_path / "long.tsv"
    path.write_bytes(b"a\tb\r\n" + b"c" * 1000 + b"\n" + b"d\t" + b"e" * 48 + b"\r\n" + b"f\t" + b"g" * 49)
    assert [len(line) for line in file_lines(path)] == [3, 52, 50, 51]
    with pytest.raises(AttentioError, match=r"long\.tsv:2: more than the limit of 50 bytes"):
        read_pairs(str(path))
    pairs = read_pairs(str(path), bad_lines="skip")
    assert [pair.source for pair in pairs.pairs] == ["a", "d"]
    assert [message.partition(": ")[0] for message in pairs.skipped] == [f"{path}:2", f"{path}:4"]
    assert LONGEST_LINE >= 40_000, "10,000 characters of any alphabet are allowed"


def test_a_name_that_no_file_can_have_is_a_missing_file() -> None:
    for read in (lambda path: read_text(path, most=9), read_json, lambda path: list(file_lines(path))):
        with pytest.raises(AttentioError, match="no such file"):
            read(Path("a\0b"))
    with pytest.raises(AttentioError, match="is neither a file nor a preset"):
        load_config("a\0b")
