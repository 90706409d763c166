"""Pieces put together into words."""

import pytest

from attentio.text.words import spans, word_starts, word_text


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ("▁low er ▁ki m </s>", "low+er ki+m </s>"),
        ("<s> low Ġer Ġki m", "<s> low er ki+m"),
        ("[CLS] low ##er ki ##m [SEP]", "[CLS] low+er ki+m [SEP]"),
        ("low@@ er ki@@ m </s>", "low+er ki+m </s>"),
        ("low er kim", "low er kim"),
        ("K IH M", "K IH M"),
        ("K I M", "K I M"),
        ("▁ 안 녕 ▁a", "+안+녕 a"),
        ("▁a <unk> b", "a+<unk>+b"),
    ],
    ids=str,
)
def test_tokens_say_where_words_begin(tokens: str, words: str) -> None:
    pieces = tokens.split()
    found = ["+".join(word_text([pieces[i]]) for i in word) for word in spans(word_starts(pieces))]
    assert " ".join(found) == words


def test_letters_are_words_between_white_space() -> None:
    tokens = [*"so it", "</s>"]
    assert spans(word_starts(tokens)) == [range(2), range(2, 3), range(3, 5), range(5, 6)]


def test_every_token_is_in_one_word_and_no_tokens_are_no_words() -> None:
    assert spans([False, False, True]) == [range(2), range(2, 3)]
    assert spans(word_starts([])) == []


def test_the_text_of_a_word_has_no_marks() -> None:
    assert word_text(["▁low", "er"]) == "lower"
    assert word_text(["low", "##er"]) == "lower"
    assert word_text(["low@@", "er"]) == "lower"
    assert word_text(["##", "@@"]) == "##@@", "marks with nothing to mark are text"
    assert word_text([" "]) == word_text(["▁"]) == ""
