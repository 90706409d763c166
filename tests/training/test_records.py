import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attentio.errors import AttentioError
from attentio.training.records import COLUMNS, Records, read_metrics


def row(step: int, **scores: float) -> dict[str, float]:
    return {**{name: step / 7 for name in COLUMNS}, "step": step, "epoch": step // 3, **scores}


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def written(folder: Path, *steps: int) -> None:
    with Records(folder, ["wer", "per"]) as records:
        for step in steps:
            records.write(row(step))


def test_rows_are_written_at_once_and_lacking_columns_stay_empty(tmp_path: Path) -> None:
    with Records(tmp_path, ["wer", "per"]) as records:
        records.write(row(3))
        records.write(row(6, per=2.5, wer=12.0))
        first, second = read(tmp_path)
    assert list(first) == [*COLUMNS, "wer", "per"]
    assert (first["step"], first["wer"], first["per"]) == ("3", "", "")
    assert (second["step"], second["wer"], second["per"]) == ("6", "12.0", "2.5")
    assert float(second["loss"]) == 6 / 7


def test_a_row_with_an_unknown_column_is_an_error(tmp_path: Path) -> None:
    with Records(tmp_path, []) as records, pytest.raises(ValueError, match="bleu"):
        records.write(row(3, bleu=1.0))


def test_rows_after_the_resumed_step_are_dropped_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    written(tmp_path, 2, 4, 6, 8)
    before = (tmp_path / "metrics.csv").read_bytes().splitlines()
    with Records(tmp_path, ["wer", "per"], after=5) as records:
        assert (tmp_path / "metrics.csv").read_bytes().splitlines() == before[:3]
        records.write(row(6))
    assert (tmp_path / "metrics.csv").read_bytes().splitlines() == before[:4]


def test_a_run_that_begins_anew_has_no_old_rows(tmp_path: Path) -> None:
    written(tmp_path, 2, 4)
    written(tmp_path, 3)
    assert [each["step"] for each in read(tmp_path)] == ["3"]


def test_a_last_line_that_a_kill_cut_anywhere_is_dropped(tmp_path: Path) -> None:
    written(tmp_path, 2, 4, 60)
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    last_line = whole.splitlines(keepends=True)[-1]
    for cut in range(len(last_line)):
        path.write_bytes(whole[: len(whole) - len(last_line) + cut])
        with Records(tmp_path, ["wer", "per"], after=10):  # "60" cut to "6" is no row either
            assert [each["step"] for each in read(tmp_path)] == ["2", "4"]


def test_who_reads_the_rows_is_not_given_one_that_was_cut(tmp_path: Path) -> None:
    written(tmp_path, 2, 4)
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-12])
    assert [each["step"] for each in read_metrics(path)] == ["2"]
    path.write_text(path.read_text().replace(".", "{,}"))
    with pytest.raises(AttentioError, match=r"metrics\.csv is not as training wrote it; remove or restore it"):
        read_metrics(path)


def test_tensorboard_has_the_same_numbers(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    written(tmp_path, 2, 4)
    (path,) = (tmp_path / "tensorboard").iterdir()
    content, points = path.read_bytes(), {}
    while content:  # each record: length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        points.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
        content = content[16 + length :]
    assert points["loss", 4] == pytest.approx(4 / 7)
    assert {step for _, step in points} == {2, 4}
    assert {tag for tag, _ in points} == {*COLUMNS} - {"step", "epoch"}


def as_utf16(content: bytes) -> bytes:
    return content.decode().encode("utf-16")


@pytest.mark.parametrize(
    "touch",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b",", b";"),
        lambda content: content.replace(b".", b"{,}").replace(b"{,}", b"x"),
        lambda content: content.replace(b"step", b"Schritt"),
        lambda content: b"",
        as_utf16,
    ],
)
def test_a_file_that_another_program_has_changed_is_set_aside_and_training_goes_on(
    tmp_path: Path, touch: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, 2, 4)
    path = tmp_path / "metrics.csv"
    path.write_bytes(touched := touch(path.read_bytes()))
    with Records(tmp_path, ["wer", "per"], after=4) as records:
        records.write(row(6))
    if touched:
        assert (tmp_path / "metrics.csv.bak").read_bytes() == touched
        assert "metrics.csv is not as it was written; it is now metrics.csv.bak" in caplog.text
    assert [each["step"] for each in read(tmp_path)] == ["6"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are of Unix")
def test_a_pipe_in_its_place_is_set_aside_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.csv")
    with Records(tmp_path, [], after=3):
        assert (tmp_path / "metrics.csv").read_text().startswith("step,")
    assert (tmp_path / "metrics.csv.bak").is_fifo()
