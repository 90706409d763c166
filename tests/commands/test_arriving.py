"""Lines are answered as they arrive: a program that waits gets its answer, and a file is read many lines at once."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attentio.commands.arriving import AT_A_TIME, Arriving, as_they_arrive
from attentio.errors import AttentioError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody can tell of a pipe of Windows")


@pytest.mark.parametrize("verb", ["translate", "score"])
def test_a_line_is_answered_while_the_pipe_stays_open(verb: str) -> None:
    command = [sys.executable, "-m", "attentio", verb, "dates-luong"]
    line = b"14 March 2026\t2026-03-14\n" if verb == "score" else b"14 March 2026\n"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for _ in range(3):
            process.stdin.write(line)
            process.stdin.flush()
            answers.append(process.stdout.readline())
        process.stdin.close()
        assert process.stdout.read() == b""
    assert len({*answers}) == 1
    assert answers[0].endswith(b"2026-03-14\n" if verb == "translate" else b"\n")
    assert len(answers[0]) > 1


def chunks(arriving: Arriving) -> list[int]:
    lines = iter(arriving.readline, b"")
    return [len(chunk) for chunk in as_they_arrive(lines, arriving)]


def test_a_file_is_taken_many_lines_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("line\n" * (2 * AT_A_TIME + 3) + "the last has no end")
    with (tmp_path / "lines").open("rb") as file:
        assert chunks(Arriving(file)) == [AT_A_TIME, AT_A_TIME, 4]


def test_what_is_in_memory_is_read_too() -> None:
    assert chunks(Arriving(io.BytesIO(b"a\n\nb"))) == [3]


def test_lines_are_those_of_the_stream_whatever_pieces_come() -> None:
    code = "import sys; sys.stdout.write('first\\n' + 100_000 * 'x' + '\\n\\nlast')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        arriving = Arriving(process.stdout)
        assert arriving.readline() == b"first\n"
        assert arriving.readline(10) == b"x" * 10
        assert arriving.readline() == b"x" * 99_990 + b"\n"
        assert [arriving.readline(), arriving.readline(), arriving.readline()] == [b"\n", b"last", b""]


def test_lines_that_came_together_are_answered_together() -> None:
    code = "import sys; sys.stdout.write('a\\nb\\nc\\n'); sys.stdout.flush(); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        arriving = Arriving(process.stdout)
        assert next(as_they_arrive(iter(arriving.readline, b""), arriving)) == [b"a\n", b"b\n", b"c\n"]
        process.stdin.close()


def test_lines_before_a_bad_one_are_given_first() -> None:
    def lines() -> Iterator[str]:
        yield from ("a", "b")
        raise AttentioError("line 3")

    given = as_they_arrive(lines(), Arriving(io.BytesIO()))
    assert next(given) == ["a", "b"]
    with pytest.raises(AttentioError, match="line 3"):
        next(given)
