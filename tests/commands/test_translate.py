"""attentio translate: one line in, one line out, in order."""

import math
from collections.abc import Callable

import pytest
from toy_pairs import reverse

from attentio.commands import translate
from attentio.commands.run import Run

WORDS = ["abc", "fedcba", "gg", "hade", "bcefgh", "cab"]


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def test_one_line_in_is_one_line_out_in_order(toy, attentio: Callable) -> None:
    said = attentio("translate", toy.run, given=lines(*WORDS))
    assert said.code == 0
    found = said.out.split("\n")
    assert len(found) == len(WORDS) + 1
    assert sum(line == reverse(word) for line, word in zip(found, WORDS, strict=False)) >= len(WORDS) - 1


@pytest.mark.parametrize("at_a_time", [1, 2, 1000])
def test_empty_lines_stay_where_they_are(
    toy, attentio: Callable, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(translate, "LINES_AT_A_TIME", at_a_time)
    without = attentio("translate", toy.run, given=lines("abc", "fed", "hg")).out.splitlines()
    said = attentio("translate", toy.run, given=b"\nabc\n  \n\nfed\r\n\t\nhg")
    assert said.out.splitlines() == ["", without[0], "", "", without[1], "", without[2]]


def test_nothing_in_is_nothing_out(toy, attentio: Callable) -> None:
    said = attentio("translate", toy.run)
    assert (said.code, said.out) == (0, "")


def test_only_empty_lines_are_translated(toy, attentio: Callable) -> None:
    assert attentio("translate", toy.run, given=b"\n\n").out == "\n\n"


BAD = {
    "invalid UTF-8": (b"\xff", "invalid UTF-8"),
    "NUL": (b"a\0b", "NUL"),
    "a reserved symbol": (b"<unk>", "reserved symbol <unk>"),
    "too long": (b"a" * 10_001, "more than the limit"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_line_stops_with_its_number(toy, attentio: Callable, what: str) -> None:
    line, told = BAD[what]
    said = attentio("translate", toy.run, given=b"abc\n" + line + b"\nfed\n")
    assert said.code == 2
    assert said.err.startswith("attentio: <stdin>:2: ")
    assert told in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("what", BAD)
def test_a_skipped_bad_line_is_an_empty_one_and_said(
    toy, attentio: Callable, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    whole = attentio("translate", toy.run, given=b"abc\nfed\n").out.splitlines()
    said = attentio("translate", toy.run, "--bad-lines", "skip", given=b"abc\n" + BAD[what][0] + b"\nfed\n")
    assert said.code == 0
    assert said.out.splitlines() == [whole[0], "", whole[1]]
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == ["skipped <stdin>:2"]


def test_n_best_gives_distinct_outputs_with_falling_scores(toy, attentio: Callable) -> None:
    single = attentio("translate", toy.run, given=lines("abc", "", "fedcb")).out.splitlines()
    said = attentio("translate", toy.run, "--n-best", "3", given=lines("abc", "", "fedcb"))
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["3"] * 3
    for start, best in ((0, single[0]), (3, single[2])):
        scores = [float(row[1]) for row in rows[start : start + 3]]
        assert scores == sorted(scores, reverse=True)
        assert all(math.isfinite(score) and score <= 0 for score in scores)
        assert len({row[2] for row in rows[start : start + 3]}) == 3
        assert rows[start][2] == best


def test_n_best_needs_as_large_a_beam(toy, attentio: Callable) -> None:
    said = attentio("translate", toy.run, "--n-best", "3", "--beam", "2", given=b"abc\n")
    assert said.code == 2
    assert "--n-best 3 needs a --beam of at least as many; the beam is 2" in said.err


def test_a_line_feed_in_an_output_does_not_make_two_lines(
    toy, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Run._translation

    def with_line_feed(self, *arguments):
        translation = made(self, *arguments)
        object.__setattr__(translation, "text", "x\ny")
        return translation

    monkeypatch.setattr(Run, "_translation", with_line_feed)
    assert attentio("translate", toy.run, given=lines("abc", "fed")).out == "x y\nx y\n"
    assert attentio("translate", toy.run, "--n-best", "1", given=lines("abc")).out.count("\n") == 1
