"""Pieces put together into words."""

import pytest
import torch

from attentio.inspection.words import join_words, spans, word_starts, word_text


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


def test_weights_are_summed_over_the_source_and_averaged_over_the_target() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.5, 0.5, 0.0]])
    joined = join_words(weights, target=[range(2), range(2, 3)], source=[range(2), range(2, 3)])
    assert torch.allclose(joined, torch.tensor([[(0.3 + 0.7) / 2, (0.7 + 0.3) / 2], [1.0, 0.0]]))


def test_rows_of_words_sum_to_one_whatever_the_words(seed: int) -> None:
    weights = torch.rand(2, 3, 7, 11).softmax(-1)
    words = [range(3), range(3, 4), range(4, 11)]
    joined = join_words(weights, target=[range(2), range(2, 7)], source=words)
    assert joined.shape == (2, 3, 2, 3)
    assert torch.allclose(joined.sum(-1), torch.ones(2, 3, 2))
    naive = sum(weights[1, 2, q, k] for q in range(2, 7) for k in range(4, 11)) / 5
    assert torch.allclose(joined[1, 2, 1, 2], naive)
