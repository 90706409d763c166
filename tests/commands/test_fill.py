"""attentio fill: candidates for the holes of a text, in a table or as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_a_trained_model_fills_a_hole(masked: Path, attentio: Callable) -> None:
    said = attentio("fill", masked, "one two [MASK] four five")
    assert said.code == 0
    title, best, *others = said.out.splitlines()
    assert title == "one two [MASK] four five"
    assert best.split()[0] == "three"
    assert best.rstrip().endswith("one two three four five")
    assert "█" in best
    assert len(others) == 4


def test_several_holes_are_filled_in_order(masked: Path, attentio: Callable) -> None:
    said = attentio("fill", masked, "one two [MASK] four five six [MASK] one two", "--top", "2", "--json")
    found = json.loads(said.out)
    behind = attentio("fill", masked, "--top", "2", "one two [MASK] four five six [MASK] one two", "--json")
    assert behind.out == said.out, "options may stand before the text"
    assert found["text"] == "one two [MASK] four five six [MASK] one two"
    assert [hole[0]["token"] for hole in found["holes"]] == ["three", "seven"]
    assert [len(hole) for hole in found["holes"]] == [2, 2]
    assert found["holes"][0][0]["text"] == found["holes"][1][0]["text"] == "one two three four five six seven one two"
    assert found["holes"][1][1]["text"].startswith("one two three four five six "), "the other hole keeps its best"
    for first, second in found["holes"]:
        assert first["probability"] > second["probability"]
    shown = attentio("fill", masked, "one two [MASK] four five six [MASK] one two").out
    assert "(hole 1 of 2)" in shown
    assert "(hole 2 of 2)" in shown


def test_lines_of_standard_input_are_filled_one_by_one(masked: Path, attentio: Callable) -> None:
    lines = b"one two [MASK] four five\n\n  \r\nfour five six [MASK] one two three"
    said = attentio("fill", masked, "--json", given=lines)
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [[best["token"] for best, *_ in one["holes"]] for one in found] == [["three"], [], [], ["seven"]]
    assert said.err == "blank lines, which have no holes: 2\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one two three", "no [MASK] in the text; write one where a word is missing"),
        ("one [MASK] eleven", "does not know 'eleven' (character 12); write something else there"),
        ("one [MASK] Three <mask> TWO", "does not know 'Three' (character 12); it knows 'three' (and 1 more there)"),
        ("one [MASK] <unk>", "reserved symbol <unk>"),
        ("", "no [MASK]"),
    ],
)
def test_a_text_that_cannot_be_filled_is_told(masked: Path, attentio: Callable, text: str, told: str) -> None:
    said = attentio("fill", masked, text)
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1


def test_a_bad_line_is_told_with_its_number(masked: Path, attentio: Callable) -> None:
    said = attentio("fill", masked, given=b"one [MASK] three\none two\n")
    assert said.code == 2
    assert said.err.startswith("attentio: <stdin>:2: no [MASK]")
    said = attentio("fill", masked, given=b"one [MASK] \xff\n")
    assert said.err.startswith("attentio: <stdin>:1: invalid UTF-8")


def test_another_kind_of_model_is_told_with_the_verb_for_it(
    toy, causal: Path, masked: Path, attentio: Callable
) -> None:
    assert "use `attentio translate`" in attentio("fill", toy.run, "a[MASK]").err
    assert "use `attentio generate`" in attentio("fill", causal, "a[MASK]").err
    assert "use `attentio fill`" in attentio("translate", masked, given=b"one\n").err
    assert "use `attentio fill`" in attentio("generate", masked).err
