import json
import os
import re
import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attentio.errors import AttentioError
from attentio.text.tokenizer import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, Tokenizer, TokenizerKind, find_reserved

KINDS: list[TokenizerKind] = ["char", "whitespace", "bpe", "unigram"]
TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the log",
    "a cat and a dog sat in the sun",
    "나는 밥을 먹었다",
    "나는 물을 마셨다",
    "너는 밥을 먹고 물을 마셨다",
]


SIZES = {"char": None, "whitespace": None, "bpe": 50, "unigram": 34}


@cache
def trained(kind: TokenizerKind, *, jamo: bool = False) -> Tokenizer:
    return Tokenizer.train(TEXTS, kind=kind, vocab_size=40 if jamo else SIZES[kind], jamo=jamo)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reserved_symbols_are_the_first_ids(kind: TokenizerKind) -> None:
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert tuple(trained(kind).tokens([PAD, UNK, BOS, EOS])) == SPECIAL_TOKENS


@pytest.mark.parametrize("jamo", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_training_text_comes_back(kind: TokenizerKind, jamo: bool) -> None:
    tokenizer = trained(kind, jamo=jamo)
    assert [tokenizer.decode(ids) for ids in tokenizer.encode_all(TEXTS)] == TEXTS


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_characters_come_back_exactly(text: str) -> None:
    if not text.strip() or find_reserved(text):
        return
    tokenizer = Tokenizer.train([text], kind="char")
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert "".join(tokenizer.tokens(ids)) == text
    assert tokenizer.size == len(SPECIAL_TOKENS) + len(set(text))


@given(st.text(st.sampled_from("가값힣한 글aé\u0301\u1100ㅎ\n"), min_size=1))
def test_jamo_come_back_as_syllables(text: str) -> None:
    text = unicodedata.normalize("NFC", "x" + text)
    tokenizer = Tokenizer.train([text], kind="char", jamo=True)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_jamo_are_tokens_of_their_own() -> None:
    tokenizer = Tokenizer.train(["값"], kind="char", jamo=True)
    assert tokenizer.tokens(tokenizer.encode("값")) == ["\u1100", "\u1161", "\u11b9"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["a <unk> b", "<s>", "x</s>", "cat<pad>"])
def test_reserved_symbols_in_text_are_refused(kind: TokenizerKind, text: str) -> None:
    tokenizer = trained(kind)
    with pytest.raises(AttentioError, match=f"reserved symbol {find_reserved(text)} .* remove"):
        tokenizer.encode(text)
    with pytest.raises(AttentioError, match="reserved symbol"):
        tokenizer.encode_all(["fine", text])
    with pytest.raises(AttentioError, match="reserved symbol"):
        Tokenizer.train([*TEXTS, text], kind=kind, vocab_size=60)


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(st.sampled_from("<>/spadunk ▁catx☃\t")))
def test_text_never_becomes_a_reserved_id_other_than_unk(kind: TokenizerKind, text: str) -> None:
    tokenizer = trained(kind)
    if not find_reserved(text):
        assert not {PAD, BOS, EOS} & set(tokenizer.encode(text))


@given(st.text())
def test_find_reserved_finds_what_is_there(text: str) -> None:
    assert find_reserved(text) is None or find_reserved(text) in text
    for symbol in SPECIAL_TOKENS:
        assert find_reserved(f"{text} {symbol} {text}") is not None
    assert find_reserved("< s > <S> <unk pad>") is None


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(AttentioError, match="half of a surrogate pair"):
        trained("char").encode("a\ud800")


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_characters_are_unk_and_reserved_ids_are_not_decoded(kind: TokenizerKind) -> None:
    tokenizer = trained(kind)
    assert UNK in tokenizer.encode("☃")
    cat = tokenizer.encode("the cat")
    assert tokenizer.decode([BOS, *cat, UNK, EOS, PAD, PAD]) == "the cat"


def test_whitespace_is_joined_by_one_space() -> None:
    tokenizer = trained("whitespace")
    assert tokenizer.decode(tokenizer.encode("  the\tcat  sat ")) == "the cat sat"
    assert tokenizer.encode("") == []


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_show_where_a_word_begins(kind: TokenizerKind) -> None:
    tokenizer = trained(kind)
    assert "".join(tokenizer.tokens([*tokenizer.encode("the cat"), EOS])) == "▁the▁cat</s>"
    assert tokenizer.size == SIZES[kind]


@pytest.mark.parametrize("ids", [[-1], [4, 10_000]])
def test_ids_outside_the_vocabulary_have_no_token(ids: list[int]) -> None:
    with pytest.raises(ValueError, match=f"ids must be from 0 to .*, got {ids[-1]}"):
        trained("char").tokens(ids)


def test_a_limit_keeps_the_frequent_and_breaks_ties_by_code_point() -> None:
    tokenizer = Tokenizer.train(["c b a x x", "y z x"], kind="whitespace", vocab_size=7)
    assert tokenizer.tokens(list(range(4, tokenizer.size))) == ["x", "a", "b"]
    assert tokenizer.encode("a z c") == [5, UNK, UNK]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_give_the_same_tokenizer_in_another_process(kind: TokenizerKind, tmp_path: Path) -> None:
    trained(kind).save(tmp_path / "here.json")
    program = (
        "import sys, json, pathlib; from attentio.text.tokenizer import Tokenizer; "
        "texts, kind, size, path = json.loads(sys.argv[1]); "
        "Tokenizer.train(texts, kind=kind, vocab_size=size).save(pathlib.Path(path))"
    )
    arguments = json.dumps([TEXTS, kind, SIZES[kind], str(tmp_path / "there.json")])
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    subprocess.run([sys.executable, "-c", program, arguments], check=True, env=environment)
    assert (tmp_path / "here.json").read_bytes() == (tmp_path / "there.json").read_bytes()


@pytest.mark.parametrize("jamo", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_comes_back(kind: TokenizerKind, jamo: bool, tmp_path: Path) -> None:
    tokenizer = trained(kind, jamo=jamo)
    tokenizer.save(tmp_path / "source.json")
    loaded = Tokenizer.load(tmp_path / "source.json")
    assert (loaded.kind, loaded.jamo, loaded.size) == (kind, jamo, tokenizer.size)
    texts = [*TEXTS, "the 고양이 <cat> ☃"]
    assert loaded.encode_all(texts) == tokenizer.encode_all(texts)
    assert loaded.decode(loaded.encode(TEXTS[0])) == TEXTS[0]


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AttentioError, match=r"absent\.json: no such file"):
        Tokenizer.load(tmp_path / "absent.json")


def test_a_truncated_tokenizer_file_is_named_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "source.json"
    trained("char").save(path)
    content = path.read_bytes()
    for length in range(0, len(content) - 2, 97):
        path.write_bytes(content[:length])
        with pytest.raises(AttentioError, match=r"source\.json: damaged JSON"):
            Tokenizer.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "words"},
        {"jamo": 1},
        {"extra": 1},
        {"tokenizer": {}},
        {"tokenizer": "x"},
        {"tokenizer": {"model": {"type": "WordLevel", "vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>"}}},
    ],
)
def test_a_file_of_another_program_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "source.json"
    trained("char").save(path)
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}))
    with pytest.raises(AttentioError, match=r"source\.json: not a tokenizer file of attentio"):
        Tokenizer.load(path)


def test_an_id_that_no_model_has_room_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source.json"
    trained("char").save(path)
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["tokenizer"]["model"]["vocab"]
    vocabulary[max(vocabulary, key=vocabulary.get)] = 5000
    path.write_text(json.dumps(content))
    with pytest.raises(AttentioError, match=r"source\.json: not a tokenizer file of attentio"):
        Tokenizer.load(path)


def test_a_json_list_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(AttentioError, match="not a JSON object"):
        Tokenizer.load(tmp_path / "list.json")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_need_a_vocabulary_size_that_the_text_can_fill(kind: TokenizerKind) -> None:
    with pytest.raises(AttentioError, match=f"a {kind} tokenizer needs vocab_size"):
        Tokenizer.train(TEXTS, kind=kind)
    with pytest.raises(AttentioError, match=r"vocab_size 10 is too small .* give at least \d+"):
        Tokenizer.train(TEXTS, kind=kind, vocab_size=10)
    with pytest.raises(AttentioError, match=r"vocab_size 9000: the text yields only \d+ .* lower it"):
        Tokenizer.train(TEXTS, kind=kind, vocab_size=9000)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_size_that_the_message_names_works(kind: TokenizerKind) -> None:
    for impossible in (10, 9000):
        with pytest.raises(AttentioError) as caught:
            Tokenizer.train(TEXTS, kind=kind, vocab_size=impossible)
        possible = int(re.findall(r"\d+", str(caught.value))[-1])
        assert Tokenizer.train(TEXTS, kind=kind, vocab_size=possible).size == possible


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_makes_no_vocabulary(kind: TokenizerKind) -> None:
    for texts in ([], ["", "  "]):
        with pytest.raises(AttentioError, match="no text to learn a vocabulary from"):
            Tokenizer.train(texts, kind=kind, vocab_size=60)


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(AttentioError, match="vocab_size 4 has no room"):
        Tokenizer.train(TEXTS, kind="char", vocab_size=4)


def test_many_texts_are_encoded_in_their_order() -> None:
    tokenizer = Tokenizer.train(["0123456789"], kind="char")
    texts = [str(number) for number in range(10_007)]
    assert [tokenizer.decode(ids) for ids in tokenizer.encode_all(texts)] == texts
