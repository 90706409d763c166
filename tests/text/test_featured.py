"""A vocabulary of texts and features: features are tokens behind the text, whatever the text is made of."""

import json
from pathlib import Path

import pytest

from attentio.errors import AttentioError
from attentio.text.copying import Copying
from attentio.text.featured import FeaturedTokenizer
from attentio.text.features import check_featured, read_featured
from attentio.text.tokenizer import PAD, UNK, Tokenizer
from attentio.text.unknown import told, unknown_in

PAIRS = [("walk\tV;PST", "walked"), ("go\tV;PRS;3", "goes")]


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return Tokenizer.train(["walk", "go on"], kind="char")


@pytest.fixture(scope="module")
def featured(plain: Tokenizer) -> FeaturedTokenizer:
    return FeaturedTokenizer.of_pairs(plain, PAIRS)


def test_features_are_tokens_behind_the_text(plain: Tokenizer, featured: FeaturedTokenizer) -> None:
    assert featured.features == ("3", "PRS", "PST", "V")
    ids = featured.encode("walk\tV;PST")
    assert featured.tokens(ids) == ["w", "a", "l", "k", "V", "PST"]
    assert ids[:4] == plain.encode("walk")
    assert min(ids[4:]) >= plain.size
    assert max(ids) < featured.size
    assert featured.decode(ids) == "walk"
    assert featured.word_starts(featured.encode("go on\tV;3")) == [True, False, True, True, False, True, True]


@pytest.mark.parametrize("kind", ["whitespace", "bpe", "unigram"])
def test_whatever_a_token_is(kind: str) -> None:
    text = ["walk away", "walk on", "go away"] * 5
    plain = Tokenizer.train(text, kind=kind, vocab_size=None if kind == "whitespace" else 14)
    featured = FeaturedTokenizer(plain, ["PST", "V"])
    ids = featured.encode("walk away\tV;PST")
    assert ids == [*plain.encode("walk away"), plain.size + 1, plain.size]
    assert featured.word_starts(ids)[-2:] == [True, True]
    assert featured.decode(ids) == "walk away"


def test_an_unknown_feature_is_told_with_the_one_that_differs_in_case(featured: FeaturedTokenizer) -> None:
    source = "wolk\tV;pst;FUT"
    assert featured.encode(source)[5:] == [UNK, UNK]
    first, second = unknown_in(source, featured)
    assert (first.text, first.place, first.known) == ("pst", 8, "PST")
    assert (second.text, second.place, second.known) == ("FUT", 12, None)
    assert told([second], "line 3") == "'FUT' (line 3, character 12): the model does not know it"


def test_a_feature_that_looks_like_letters_is_not_taken_for_a_text(featured: FeaturedTokenizer) -> None:
    (unknown,) = unknown_in("go\tgo", featured)
    assert (unknown.text, unknown.place, unknown.known) == ("go", 4, None)


def test_saved_and_read_back_it_is_the_same(featured: FeaturedTokenizer, plain: Tokenizer, tmp_path: Path) -> None:
    featured.save(tmp_path / "source.json")
    again = FeaturedTokenizer.load(tmp_path / "source.json")
    assert isinstance(again, FeaturedTokenizer)
    assert (again.features, again.encode("walk\tPST;V")) == (featured.features, featured.encode("walk\tPST;V"))
    plain.save(tmp_path / "plain.json")
    assert type(FeaturedTokenizer.load(tmp_path / "plain.json")) is Tokenizer
    content = json.loads(featured.to_json())
    with pytest.raises(AttentioError, match=r"x\.json: features must be a list of texts"):
        FeaturedTokenizer.of({**content, "features": [1]}, Path("x.json"))


def test_features_that_are_added_stand_behind_those_that_are_there(featured: FeaturedTokenizer) -> None:
    grown = FeaturedTokenizer.of_pairs(featured.plain, [("go\tV;FUT;1", "")], known=featured.features)
    assert grown.features == ("3", "PRS", "PST", "V", "1", "FUT")


def test_no_feature_can_be_copied(featured: FeaturedTokenizer, plain: Tokenizer) -> None:
    copying = Copying(featured, plain)
    assert copying.target_ids == [*range(plain.size), *[PAD] * 4]
    source = "wülk\tV;PST;FUT"
    ids = copying.source_ids(source)
    assert ids[1] == featured.size, "an unknown letter is one of this text's own"
    assert ids[4:] == [*featured.encode("g\tV;PST")[1:], UNK]
    assert copying.of(source)[0].tokens(ids) == ["w", "ü", "l", "k", "V", "PST", "<unk>"]
    assert copying.of(source)[0].word_starts(ids) == [True, False, False, False, True, True, True]


def test_a_source_is_read_as_in_training() -> None:
    assert read_featured(" cafe\u0301 \t V ; PST;; ", "nfc") == "café\tV;PST"
    with pytest.raises(AttentioError, match="the feature 'é' is there twice"):
        read_featured("cafe\te\u0301;é", "nfc")
    assert read_featured("a\tb\tV", "nfc") == "a\tb\tV", "a tab of the text itself stays"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("walk", "x:3: no features, which the model is trained with; write text, one tab, features"),
        ("walk\t ; ", "x:3: no features"),
        ("\tV", "x:3: no text before the features"),
        ("walk\twalked\tV", "x:3: 2 tabs where one is expected"),
        ("walk\tV;PST; V", "x:3: the feature 'V' is there twice; leave one"),
    ],
)
def test_a_line_without_text_or_features_or_with_one_twice_is_refused(line: str, error: str) -> None:
    with pytest.raises(AttentioError, match=error):
        check_featured(line, "x:3")
