"""The mask symbol of masked language models, texts with holes, and where words begin."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attentio.errors import AttentioError
from attentio.text.tokenizer import BOS, EOS, MASK, MASK_TOKEN, PAD, SPECIAL_TOKENS, UNK, Tokenizer, TokenizerKind

KINDS: list[TokenizerKind] = ["char", "whitespace", "bpe", "unigram"]
TEXTS = [
    "the cat sat on the mat",
    "a cat and a dog sat in the sun",
    "paris is the capital of france",
    "나는 밥을 먹었다",
    "너는 밥을 먹고 물을 마셨다",
]
WORDS = sorted({word for text in TEXTS for word in text.split()})


@cache
def trained(kind: TokenizerKind, *, jamo: bool = False, mask: bool = True) -> Tokenizer:
    size = {"bpe": 45, "unigram": 44 if jamo else 41}.get(kind)
    return Tokenizer.train(TEXTS, kind=kind, vocab_size=size, jamo=jamo, mask=mask)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_the_fifth_reserved_id_only_where_it_was_asked_for(kind: TokenizerKind) -> None:
    with_mask, without = trained(kind), trained(kind, mask=False)
    assert with_mask.tokens(range(5)) == [*SPECIAL_TOKENS, MASK_TOKEN]
    assert without.tokens(range(4)) == [*SPECIAL_TOKENS]
    assert without.tokens([4]) != [MASK_TOKEN]
    assert (with_mask.mask, with_mask.special_ids) == (MASK, (0, 1, 2, 3, 4))
    assert (without.mask, without.special_ids) == (None, (0, 1, 2, 3))
    assert with_mask.decode([MASK, *with_mask.encode("the cat"), MASK]) == "the cat"
    for tokenizer in (with_mask, without):
        assert (tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end) == (PAD, UNK, BOS, EOS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_symbol_in_text_is_refused_only_where_it_is_reserved(kind: TokenizerKind) -> None:
    with pytest.raises(AttentioError, match="reserved symbol <mask> occurs"):
        trained(kind).encode("the <mask> sat")
    with pytest.raises(AttentioError, match="reserved symbol <mask> occurs"):
        Tokenizer.train([*TEXTS, "a <mask>"], kind=kind, vocab_size=60, mask=True)
    assert MASK not in trained(kind).encode("the [MASK] sat")
    assert trained(kind, mask=False).encode("the <mask> sat")


def test_a_word_that_looks_like_the_mask_is_a_word_where_there_is_none(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["<mask> <mask> x"], kind="whitespace")
    assert tokenizer.tokens([4]) == [MASK_TOKEN]
    tokenizer.save(tmp_path / "t.json")
    loaded = Tokenizer.load(tmp_path / "t.json")
    assert loaded.mask is None
    assert loaded.decode(loaded.encode("x <mask>")) == "x <mask>"


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_mask_comes_back_and_files_without_one_stay_as_they_were(kind: TokenizerKind, tmp_path: Path) -> None:
    for mask in (True, False):
        tokenizer = trained(kind, mask=mask)
        tokenizer.save(tmp_path / "t.json")
        loaded = Tokenizer.load(tmp_path / "t.json")
        assert loaded.mask == tokenizer.mask
        assert loaded.encode_all(TEXTS) == tokenizer.encode_all(TEXTS)
        assert json.loads((tmp_path / "t.json").read_text("utf-8")).keys() - {"mask"} == {"kind", "jamo", "tokenizer"}
    assert "mask" not in json.loads((tmp_path / "t.json").read_text("utf-8"))


def test_a_file_that_claims_a_mask_it_lacks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    trained("char", mask=False).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "mask": True}))
    with pytest.raises(AttentioError, match="not a tokenizer file of attentio"):
        Tokenizer.load(path)


@pytest.mark.parametrize("jamo", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=7), data=st.data())
def test_a_hole_in_place_of_a_word_leaves_all_other_tokens(
    kind: TokenizerKind, jamo: bool, words: list[str], data: st.DataObject
) -> None:
    tokenizer = trained(kind, jamo=jamo)
    holes = data.draw(st.sets(st.integers(0, len(words) - 1)))
    hole = data.draw(st.sampled_from(["[MASK]", "<mask>"]))
    punched = " ".join(hole if i in holes else word for i, word in enumerate(words))
    whole = tokenizer.encode(" ".join(words))
    expected, word = [], -1
    spaces = tokenizer.encode(" ") if kind == "char" else []
    for token, start in zip(whole, tokenizer.word_starts(whole), strict=True):
        word += start and [token] != spaces
        if word not in holes or [token] == spaces:
            expected.append(token)
        elif start:
            expected.append(MASK)
    assert tokenizer.encode_with_holes(punched) == expected


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(st.lists(st.sampled_from(["[MASK]", "<mask>", " ", "cat", "the", "s", "  "])))
def test_only_a_space_begins_a_word_after_a_hole(kind: TokenizerKind, parts: list[str]) -> None:
    tokenizer = trained(kind)
    text = "".join(parts)
    marked = re.sub(r"\[MASK\]|<mask>", MASK_TOKEN, text)
    if marked and not marked.startswith((" ", MASK_TOKEN)):
        marked = " " + marked
    # The one space before a hole is the hole's.
    marked = marked.replace(f" {MASK_TOKEN}", MASK_TOKEN).replace(" ", "▁")
    assert "".join(tokenizer.tokens(tokenizer.encode_with_holes(text))) == marked


def test_holes_glued_to_letters_are_part_of_the_word() -> None:
    char, pieces, words = trained("char"), trained("bpe"), trained("whitespace")
    assert char.tokens(char.encode_with_holes("c[MASK]t s")) == ["c", "<mask>", "t", " ", "s"]
    assert "".join(pieces.tokens(pieces.encode_with_holes("c[MASK]t sat"))) == "▁c<mask>t▁sat"
    assert words.tokens(words.encode_with_holes("the[MASK] sat")) == ["the", "<mask>", "sat"]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_without_holes_are_encoded_as_ever(kind: TokenizerKind) -> None:
    tokenizer = trained(kind)
    for text in [*TEXTS, "", " ", " a  b ", "☃[mask]"]:
        assert tokenizer.encode_with_holes(text) == tokenizer.encode(text)
    assert tokenizer.encode_with_holes("[MASK]<mask>") == [MASK, MASK]


def test_holes_need_a_mask_and_no_other_reserved_symbol() -> None:
    with pytest.raises(AttentioError, match="no <mask>; use the one of a masked language model"):
        trained("char", mask=False).encode_with_holes("a [MASK]")
    for kind in KINDS:
        for text in ("<s> [MASK]", "[MASK] </s>"):
            with pytest.raises(AttentioError, match="reserved symbol"):
                trained(kind).encode_with_holes(text)


def starts(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """The words, each as the readable tokens in it."""
    words: list[str] = []
    for token, start in zip(tokenizer.tokens(ids), tokenizer.word_starts(ids), strict=True):
        if start:
            words.append(token)
        else:
            words[-1] += token
    return words


@pytest.mark.parametrize("kind", KINDS)
def test_word_starts_give_the_words(kind: TokenizerKind) -> None:
    tokenizer = trained(kind)
    words = starts(tokenizer, tokenizer.encode("the cat sat"))
    assert words == {
        "char": ["the", " ", "cat", " ", "sat"],
        "whitespace": ["the", "cat", "sat"],
    }.get(kind, ["▁the", "▁cat", "▁sat"])
    assert tokenizer.word_starts([]) == []


def test_the_first_token_begins_a_word_and_unknown_ones_belong_to_theirs() -> None:
    char, pieces = trained("char"), trained("bpe")
    assert starts(char, char.encode("c☃t  s☃")) == ["c<unk>t", " ", " ", "s<unk>"]
    assert starts(pieces, pieces.encode("c☃t sat")) == ["▁c<unk>t", "▁sat"]
    inside = pieces.encode("sat")[1:]
    assert pieces.word_starts(inside)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_reserved_ids_are_words_of_their_own(kind: TokenizerKind) -> None:
    tokenizer = trained(kind)
    ids = tokenizer.encode("cat")
    parts = starts(tokenizer, [BOS, *ids, MASK, *ids, EOS, PAD, PAD])
    word = "".join(tokenizer.tokens(ids))
    assert parts == ["<s>", word, "<mask>", word, "</s>", "<pad>", "<pad>"]


def test_jamo_words_are_those_of_the_text() -> None:
    tokenizer = trained("char", jamo=True)
    ids = tokenizer.encode("나는 밥을")
    assert sum(tokenizer.word_starts(ids)) == 3
    assert len(ids) == 12
