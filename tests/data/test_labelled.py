"""Labels in rows of tokens."""

import random

import numpy as np
import pytest

from attentio.data.batches import IGNORE_INDEX
from attentio.data.dates import locales, pairs, parts
from attentio.data.labelled import LabelledTexts, word_rows
from attentio.data.pairs import Pair
from attentio.text.tokenizer import BOS, EOS, Tokenizer

TEXTS = ["the cat sat", "a cat", "on the mat the cat sat and sat"]


@pytest.mark.parametrize(("kind", "size"), [("char", None), ("whitespace", None), ("bpe", 24)])
def test_each_word_is_asked_for_at_its_first_token_in_rows_that_fit(kind: str, size: int | None) -> None:
    tokenizer = Tokenizer.train(TEXTS, kind=kind, vocab_size=size)  # type: ignore[arg-type]
    labels = Tokenizer.train(["a b c d e f g h"], kind="whitespace")
    draw = random.Random(5)
    data = [Pair(text, " ".join(draw.choices("abcdefgh", k=len(text.split())))) for text in TEXTS]
    options = {"block": 12, "batch_tokens": 30, "seed": 1}
    corpus = LabelledTexts(data, tokenizer, labels, each_word=True, **options)  # type: ignore[arg-type]
    rows = [row for rows in word_rows(TEXTS, tokenizer, block=12) for row in rows]
    assert len(rows) == len(corpus) == len(corpus.lengths)
    batches = corpus.epoch_batches(0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(rows)))
    said: list[str] = []
    for number, row in enumerate(rows):
        batch = corpus.load(np.array([number]), 0)
        (tokens, lengths), ids = batch.inputs, batch.labels[0]
        assert tokens[0].tolist() == row.ids
        assert int(lengths) == len(row.ids) <= 12
        assert (row.ids[0], row.ids[-1]) == (BOS, EOS)
        assert [place for place, label in enumerate(ids.tolist()) if label != IGNORE_INDEX] == row.starts
        for start in row.starts:
            word = tokenizer.decode([row.ids[start]]).strip()
            assert any(each.startswith(word) for each in ["the", "cat", "sat", "a", "on", "mat", "and"])
        said += labels.tokens([i for i in ids.tolist() if i != IGNORE_INDEX])
    assert said == " ".join(pair.target for pair in data).split()
    whole = LabelledTexts([Pair("the cat", "a")], tokenizer, labels, each_word=False, **options)  # type: ignore[arg-type]
    assert labels.tokens(whole.load(np.array([0]), 0).labels[0, :1].tolist()) == ["a"]
    assert whole.load(np.array([0]), 0).labels[0, 1:].eq(IGNORE_INDEX).all()


def test_labels_between_any_white_space_are_as_many_as_words() -> None:
    tokenizer = Tokenizer.train(["the cat"], kind="whitespace")
    labels = Tokenizer.train(["a b"], kind="whitespace")
    data = [Pair("the cat", "a\x1cb")]
    corpus = LabelledTexts(data, tokenizer, labels, each_word=True, block=12, batch_tokens=30, seed=1)
    said = [label for label in corpus.load(np.array([0]), 0).labels[0].tolist() if label != IGNORE_INDEX]
    assert labels.tokens(said) == ["a", "b"]


def test_dates_with_labels_are_the_dates_without() -> None:
    plain, of_words, of_texts = (some("dev") for some in (pairs, parts, locales))
    assert [text for text, _ in plain] == [text for text, _ in of_words] == [text for text, _ in of_texts]
    for (text, iso), (_, labels) in zip(plain, of_words, strict=True):
        for word, label in zip(text.split(), labels.split(), strict=True):
            assert ("year" in label.split("-")) == (iso[:4] in word)
            if label == "day":
                assert str(int(iso[8:])) in word
