"""BPE-dropout, beside the library's own encoding and algorithm 1 of Provilkov et al. 2020."""

from collections import Counter
from random import Random

import pytest

from attentio.errors import AttentioError
from attentio.text.bpe_dropout import with_dropout
from attentio.text.featured import FeaturedTokenizer
from attentio.text.tokenizer import Tokenizer

NEVER = 1e-300
"""A probability that is not 0, and that no draw is below."""
TEXTS = ["the cat sat on the mat", "the dog and the cat sat", "나는 밥을 먹었다", "너는 밥을 먹었다"] * 2


@pytest.fixture(params=[False, True], ids=["letters", "jamo"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(TEXTS, kind="bpe", vocab_size=50, jamo=request.param)


def drawn_texts(seed: int) -> list[str]:
    """Words of known letters and unknown ones, with single and double spaces, also around them."""
    draw = Random(seed)
    return ["".join(draw.choices("thecatsonmdg나는밥을먹  q?", k=draw.randint(1, 30))) for _ in range(200)]


def test_where_no_merge_is_left_out_the_pieces_are_those_of_the_library(tokenizer: Tokenizer, seed: int) -> None:
    texts = drawn_texts(seed)
    assert with_dropout(tokenizer, NEVER, Random(seed)).encode_all(texts) == tokenizer.encode_all(texts)
    assert with_dropout(tokenizer, 0.0, Random(seed)) is tokenizer


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.999])
def test_other_pieces_spell_the_same_text(tokenizer: Tokenizer, probability: float, seed: int) -> None:
    dropping, texts = with_dropout(tokenizer, probability, Random(seed)), [*TEXTS, *drawn_texts(seed)]
    found = dropping.encode_all(texts)
    assert found != tokenizer.encode_all(texts)
    assert [*map(tokenizer.decode, found)] == [*map(tokenizer.decode, tokenizer.encode_all(texts))]


def test_the_same_seed_gives_the_same_pieces(tokenizer: Tokenizer, seed: int) -> None:
    first, second, other = (with_dropout(tokenizer, 0.5, Random(each)).encode_all(TEXTS) for each in (seed, seed, -1))
    assert first == second
    assert first != other


def test_pieces_are_as_frequent_as_the_algorithm_has_them(seed: int) -> None:
    """Of "▁ab", whose merges are "ab" and then "▁ab", each left out by itself and drawn anew before each merge."""
    tokenizer = Tokenizer.train(["cab dab ab ab"] * 3, kind="bpe", vocab_size=11)
    a, b, space = (tokenizer.core.token_to_id(piece) for piece in ("a", "b", "▁"))
    ab, word = (tokenizer.core.token_to_id(piece) for piece in ("ab", "▁ab"))
    assert tokenizer.encode("ab") == [word]
    times, p = 4_000, 0.3
    found = Counter(map(tuple, with_dropout(tokenizer, p, Random(seed)).encode_all(["ab"] * times)))
    expected = {(word,): (1 - p) ** 2, (space, ab): (1 - p) * p, (space, a, b): p}
    assert found.keys() == expected.keys()
    for pieces, share in expected.items():
        deviation = (times * share * (1 - share)) ** 0.5
        assert abs(found[pieces] - times * share) < 6 * deviation


class Counting(Random):
    """draws: how often it was asked."""

    draws = 0

    def random(self) -> float:
        self.draws += 1
        return super().random()


def test_a_word_is_drawn_for_in_proportion_to_its_letters(seed: int) -> None:
    """A text without spaces is one word; to draw for all its pairs before each merge would take minutes."""
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", vocab_size=50)
    text = "".join(Random(seed).choices(["the", "cat", "sat", "at"], k=4_000))
    random = Counting(seed)
    (found,) = with_dropout(tokenizer, 0.1, random).encode_all([text])
    assert 4_000 < random.draws < 20_000
    assert tokenizer.decode(found) == text


def test_features_stay_whole(seed: int) -> None:
    plain = Tokenizer.train(TEXTS, kind="bpe", vocab_size=50)
    featured = FeaturedTokenizer(plain, ["V", "PST"])
    (found,) = with_dropout(featured, 0.999, Random(seed)).encode_all(["cat\tPST;V"])
    assert featured.tokens(found) == ["▁", "c", "a", "t", "PST", "V"]


def test_a_reserved_symbol_is_refused_as_ever(tokenizer: Tokenizer) -> None:
    with pytest.raises(AttentioError, match="the reserved symbol </s> occurs in the text"):
        with_dropout(tokenizer, 0.1, Random(1)).encode_all(["a </s> b"])
