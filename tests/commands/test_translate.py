"""attentio translate: one line in, one line out, in order."""

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
from toy_pairs import reverse

from attentio.commands import arriving
from attentio.runs import searcher
from attentio.runs.translator import Run

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
    monkeypatch.setattr(arriving, "AT_A_TIME", at_a_time)
    without = attentio("translate", toy.run, given=lines("abc", "fed", "hg")).out.splitlines()
    said = attentio("translate", toy.run, given=b"\nabc\n  \n\nfed\r\n\t\nhg")
    assert said.out.splitlines() == ["", without[0], "", "", without[1], "", without[2]]
    assert said.err == "lines that are blank or were skipped, and so are their outputs: 4\n"


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


def test_translating_waits_for_no_room_that_it_does_not_need(toy) -> None:
    code = f"""
import sys
from attentio.commands.main import main
main(["translate", {str(toy.run)!r}])
rooms = {{name.split(".")[1] for name in sys.modules if name.startswith("attentio.")}}
unneeded = {{"capture", "doctor", "evaluation", "page", "pictures", "serving"}}
print(sorted(rooms & unneeded), "attentio.huggingface.directory" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", code], input="abc\n", capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[1:] == ["[] False"]


def test_text_that_the_model_does_not_know_is_told_with_its_place(toy, attentio: Callable) -> None:
    said = attentio("translate", toy.run, given=lines("abc", "d", "CAb", "가", "abc "))
    outputs = said.out.splitlines()
    assert len(outputs) == 5
    assert outputs[4] == outputs[0], "a space after the text is no part of it"
    assert said.err.splitlines() == [
        "'C' (line 3, character 1): the model does not know it; it knows 'c' (and 1 more there)",
        "'가' (line 4, character 1): the model does not know it",
    ]
    assert attentio("translate", toy.run, given=lines(*WORDS)).err == ""


def test_the_first_ten_texts_with_something_unknown_are_told_and_then_their_number(toy, attentio: Callable) -> None:
    said = attentio("translate", toy.run, given=lines(*["z"] * 10))
    assert len(said.err.splitlines()) == 10
    said = attentio("translate", toy.run, given=lines(*["z"] * 12)).err.splitlines()
    assert len(said) == 11
    assert said[-1] == "12 texts hold something that the model does not know"


def test_outputs_cut_off_are_counted_and_can_be_longer(
    toy, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attentio("translate", toy.run, given=lines("abcd", "fedc"))
    assert whole.err == ""
    monkeypatch.setattr(searcher, "EXTRA_OUTPUT_TOKENS", 0)
    cut = attentio("translate", toy.run, "--max-length-ratio", "0.5", given=lines("abcd", "fedc"))
    assert [len(line) for line in cut.out.splitlines()] == [2, 2]
    limit = "0.5 tokens for each of its source, and 0 more"
    lifted = "--max-length-ratio lets it have more, at training --decoding.max_length_ratio"
    assert cut.err == f"2 of 2 outputs are cut off. An output may have {limit}; {lifted}\n"
    longer = attentio("translate", toy.run, "--max-length-ratio", "3", given=lines("abcd", "fedc"))
    assert (longer.out, longer.err) == (whole.out, "")


def test_lists_with_fewer_outputs_than_asked_for_are_told(
    toy, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Run._distinct
    monkeypatch.setattr(Run, "_distinct", lambda *arguments: kept(*arguments)[:2])
    said = attentio("translate", toy.run, "--n-best", "3", given=lines("abc", "fed"))
    assert [line.split("\t")[0] for line in said.out.splitlines()] == ["1", "1", "2", "2"]
    assert said.err == "2 lines have fewer than 3 outputs that differ; a larger --beam may find more\n"


def test_good_lines_before_a_bad_one_are_answered(toy, attentio: Callable) -> None:
    said = attentio("translate", toy.run, given=b"abc\nfed\n\xff\n")
    assert (said.code, len(said.out.splitlines())) == (2, 2)
    assert said.out == attentio("translate", toy.run, given=b"abc\nfed\n").out
    assert "<stdin>:3: invalid UTF-8" in said.err
