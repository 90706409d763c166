"""attentio look: the attention behind an output, in the terminal and as a picture."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attentio.runs.filler import MaskedRun
from attentio.runs.generator import CausalRun
from attentio.runs.translator import Run

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
    (picture,) = (toy.run / "pictures").glob("a-b-c-??????.png")
    assert picture.read_bytes().startswith(PNG)


def test_texts_that_come_to_the_same_name_have_pictures_of_their_own(toy, attentio: Callable) -> None:
    wrote = [attentio("look", toy.run, text).out.rpartition("wrote ")[2] for text in ("b a", "b-a", "b/a", "b a")]
    assert wrote[0] == wrote[3]
    assert len({*wrote}) == 3


def test_a_page_is_written_where_the_name_says_so_and_told_of_where_nothing_does(
    toy, causal: Path, masked: Path, attentio: Callable, tmp_path: Path
) -> None:
    assert attentio("look", toy.run, "abcd").out.rstrip().endswith("--out page.html")
    page = tmp_path / "new" / "page.html"
    for run, text in ((toy.run, "ab<c>d"), (causal, "one two"), (masked, "one [MASK]")):
        said = attentio("look", run, text, "--out", page)
        assert (said.code, said.out) == (0, f"wrote {page}\n")
        html = page.read_text(encoding="utf-8")
        assert html.startswith("<!DOCTYPE html>")
        assert text.split("<")[0] in html
        assert "<c>" not in html
        page.unlink()


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--layer", "1"], "a page shows every layer"), (["--beam", "2"], "--beam is for models of type encoder-decoder")],
)
def test_what_a_page_does_not_take_is_told(
    causal: Path, attentio: Callable, tmp_path: Path, words: list[str], told: str
) -> None:
    said = attentio("look", causal, "one", "--out", tmp_path / "page.html", *words)
    assert said.code == 2
    assert told in said.err


def test_a_file_that_is_neither_page_nor_picture_is_refused_before_anything_is_read(
    attentio: Callable, tmp_path: Path
) -> None:
    said = attentio("look", tmp_path / "nowhere", "one", "--out", "look.pdf")
    assert (said.code, said.out) == (2, "")
    assert said.err == "attentio: look.pdf: a page is written as .html, a picture as .png or .svg\n"


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


def test_a_language_model_shows_how_tokens_look_at_each_other(
    masked: Path, causal: Path, attentio: Callable, tmp_path: Path
) -> None:
    picture = tmp_path / "look.png"
    said = attentio("look", masked, "one [MASK] three", "--out", picture)
    assert said.code == 0
    assert said.out.startswith("one [MASK] three   (layer 1, mean of 2 heads)\n")
    assert "<mask>" in said.out
    assert picture.read_bytes().startswith(PNG)
    said = attentio("look", causal, "five six", "--layer", "1", "--head", "2", "--out", picture)
    assert said.out.startswith("five six   (layer 1, head 2)\n")
    first = next(line for line in said.out.splitlines() if line.strip().startswith("<s> █"))
    assert first.split() == ["<s>", "███", "<s>", "100%"], "the first token can only look at itself"


def test_attention_of_a_text_is_of_every_layer_and_head(masked: Path, causal: Path) -> None:
    for run, length in ((MaskedRun.load(masked), 5), (CausalRun.load(causal), 4)):
        tokens, weights = run.attention("one two three")
        assert tokens[:4] == ["<s>", "one", "two", "three"]
        assert weights.shape == (1, 2, length, length)
        assert torch.allclose(weights.sum(-1), torch.ones(1, 2, length))
    assert weights.triu(1).abs().max() == 0, "the causal one looks at no later token"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--head", "3"], "--head 3: the model has 2 of them"),
        (["--layer", "2"], "--layer 2: the model has 1 of them"),
        (["--beam", "2"], "--beam is for models of type encoder-decoder"),
    ],
)
def test_what_a_language_model_has_not_is_told(causal: Path, attentio: Callable, words: list[str], told: str) -> None:
    said = attentio("look", causal, "one", *words)
    assert said.code == 2
    assert told in said.err


def test_layers_are_not_those_of_a_translation(toy, attentio: Callable) -> None:
    said = attentio("look", toy.run, "ab", "--layer", "1")
    assert said.code == 2
    assert "--layer is for models of type masked-lm, causal-lm, labeller, not for encoder-decoder" in said.err


def test_text_that_the_model_does_not_know_is_told(toy, attentio: Callable, tmp_path: Path) -> None:
    told = "'C' (character 1): the model does not know it; it knows 'c'"
    for name in ("picture.png", "page.html"):
        said = attentio("look", toy.run, "Cab", "--out", tmp_path / name)
        assert said.code == 0
        assert told in said.err.splitlines()
        assert attentio("look", toy.run, "cab", "--out", tmp_path / name).err == ""
    assert told in Run.load(toy.run).inspect("Cab").warnings
