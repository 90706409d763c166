import io

import numpy as np
import torch
from rich.cells import cell_len
from rich.console import Console

from attentio.pictures.colours import colour
from attentio.pictures.terminal import DIGITS, alignment_text, print_alignment

KOREAN = ["\u1112", "\u1161", "\u11ab", "국", "a", " ", "</s>"]
PHONES = ["t͡ɕ", "ʰ", "a̠", "k̚", "</s>"]


def rows_of(text):
    """The lines between the heading and the legend."""
    return text.plain.splitlines()[1:-1]


def test_columns_stay_straight_under_wide_letters_and_combining_marks():
    for column in range(len(KOREAN)):
        weights = torch.zeros(len(PHONES), len(KOREAN))
        weights[:, column] = 1
        text = alignment_text(weights, source_tokens=KOREAN, target_tokens=PHONES)
        starts = {cell_len(row[: row.index("█")]) for row in rows_of(text)}
        heading = text.plain.splitlines()[0]
        shown = ["ㅎ", "ㅏ", "ㄴ", "국", "a", "␣", "</s>"][column]
        assert starts == {cell_len(heading[: heading.rindex(shown)])}


def test_each_row_names_the_source_token_it_looks_at_most(seed):
    weights = torch.rand(5, 7).softmax(-1)
    weights[torch.arange(5), torch.tensor([6, 0, 3, 2, 5])] += 1
    weights /= weights.sum(-1, keepdim=True)
    text = alignment_text(weights, source_tokens=list("abcdefg"), target_tokens=list("pqrst"))
    for row, strongest, weight in zip(rows_of(text), "gadcf", weights.max(-1).values, strict=True):
        assert row.split()[-2:] == [strongest, f"{weight:.0%}"]


def test_the_row_of_a_token_shows_its_own_weights():
    weights = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]])
    text = alignment_text(weights, source_tokens=list("abc"), target_tokens=list("pq"))
    assert rows_of(text) == ["p    ▒▒ ▓▓  c  75%", "q ██        a 100%"]


def test_a_row_that_looks_nowhere_names_nothing():
    text = alignment_text(torch.zeros(1, 2), source_tokens=list("ab"), target_tokens=["p"])
    assert rows_of(text)[0].split() == ["p"]


def test_a_wide_source_goes_on_below_within_the_width(seed):
    words = [f"word{n}" for n in range(37)]
    weights = torch.rand(3, 37).softmax(-1)
    text = alignment_text(weights, source_tokens=words, target_tokens=["x", "y", "z"], width=61)
    lines = text.plain.splitlines()
    assert max(map(cell_len, lines)) <= 61
    headings = [word for line in lines if line.lstrip().startswith("word") for word in line.split()]
    assert headings == words


def test_a_very_long_token_is_cut():
    text = alignment_text(torch.ones(1, 1), source_tokens=["한" * 50], target_tokens=["p"], width=40)
    assert "…" in text.plain
    assert max(map(cell_len, text.plain.splitlines())) <= 40


def test_a_token_that_looks_like_markup_is_printed_as_it_is():
    console = Console(width=60, file=io.StringIO())
    print_alignment(torch.ones(1, 1), source_tokens=["[MASK]"], target_tokens=["[/b]"], console=console)
    printed = console.file.getvalue()
    assert "[MASK]" in printed
    assert "[/b]" in printed


def test_an_escape_sequence_in_a_token_does_not_reach_the_terminal():
    text = alignment_text(torch.ones(1, 1), source_tokens=["\x1b[31m"], target_tokens=["p"])
    assert "\x1b" not in text.plain


def test_without_unicode_the_weights_are_digits():
    raw = io.BytesIO()
    console = Console(width=60, file=io.TextIOWrapper(raw, encoding="ascii"))
    weights = torch.tensor([[0.7, 0.3]])
    print_alignment(weights, source_tokens=["a", " "], target_tokens=["p"], console=console)
    console.file.flush()
    assert "p 88 55  a  70%" in raw.getvalue().decode("ascii")


def test_shades_run_by_the_square_root_so_that_small_weights_are_not_blank():
    weights = torch.linspace(0, 1, 10)[None] ** 2
    text = alignment_text(weights, source_tokens=list("abcdefghij"), target_tokens=["p"], shades=DIGITS)
    assert rows_of(text)[0].split()[1:10] == [str(n) * 2 for n in range(1, 10)]


def test_a_tile_has_the_colour_of_the_page_and_a_weight_of_3_per_cent_is_one():
    text = alignment_text(torch.tensor([[0.97, 0.03]]), source_tokens=["a", "b"], target_tokens=["p"])
    assert {f"{colour(weight)} on {colour(weight)}" for weight in (0.97, 0.03)} <= {
        str(span.style) for span in text.spans
    }
    assert rows_of(text)[0].split()[1:3] == ["██", "░░"]


def test_an_empty_output_is_not_an_error():
    assert alignment_text(torch.zeros(0, 2), source_tokens=list("ab"), target_tokens=[]).plain
