"""attentio look: the attention behind an output, in the terminal and as a picture."""

from collections.abc import Callable
from pathlib import Path

import pytest

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_run_shows_its_attention_in_the_terminal_and_as_a_picture(toy, attentio: Callable, tmp_path: Path) -> None:
    said = attentio("look", toy.run, "abcd", "--out", tmp_path / "look.png")
    assert said.code == 0
    assert said.out.startswith("abcd → ")
    assert "(score -" in said.out
    assert (tmp_path / "look.png").read_bytes().startswith(PNG)
    assert said.out.rstrip().endswith(f"wrote {tmp_path / 'look.png'}")


def test_the_picture_is_named_after_the_text_within_the_run(toy, attentio: Callable) -> None:
    assert attentio("look", toy.run, "a/b ../c").code == 0
    assert (toy.run / "pictures" / "a-b-c.png").read_bytes().startswith(PNG)


def test_brackets_in_the_text_are_no_markup(toy, attentio: Callable, tmp_path: Path) -> None:
    assert "[red]a → " in attentio("look", toy.run, "[red]a", "--out", tmp_path / "a.svg").out


def test_a_run_without_attention_is_told(toy_without_attention: Path, attentio: Callable) -> None:
    said = attentio("look", toy_without_attention, "abcd")
    assert said.code == 2
    assert said.err == (
        f"attentio: {toy_without_attention} was trained without attention, so there is none to look at\n"
    )


@pytest.mark.parametrize(
    ("text", "told"), [("", "the text: empty"), ("a<s>", "reserved symbol <s>"), ("a\0", "NUL")], ids=range(3)
)
def test_a_bad_text_is_told(toy, attentio: Callable, text: str, told: str) -> None:
    said = attentio("look", toy.run, text)
    assert said.code == 2
    assert told in said.err


def test_another_kind_of_picture_is_refused(toy, attentio: Callable, tmp_path: Path) -> None:
    said = attentio("look", toy.run, "ab", "--out", tmp_path / "look.doc")
    assert said.code == 2
    assert "look.doc" in said.err
