"""`tokenizer.json` both ways, with transformers as the judge."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizer, GPT2Tokenizer

from attentio.errors import AttentioError
from attentio.text.pretrained import PretrainedTokenizer, write
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import BOS, EOS, MASK, PAD, UNK, Tokenizer, TokenizerKind

TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the log.",
    "a cat and a dog sat in the sun",
    "the cats and the dogs sat on the mats in the sun",
    "a dog on a log, a cat on a mat.",
    "너는 밥을 먹고 물을 마셨다",
    "나는 밥을 먹고 물을 마셨다",
]
UNSEEN = ["the dog sat", "a  cat,  sat ", "zebra quiz", "물을 the 밥을", "mat.", "log\tsun"]
SIZES: dict[TokenizerKind, int | None] = {"char": None, "whitespace": None, "bpe": 60, "unigram": 39}


def ours(kind: TokenizerKind, *, jamo: bool = False, mask: bool = False) -> Tokenizer:
    return Tokenizer.train(TEXTS, kind=kind, vocab_size=SIZES[kind], jamo=jamo, mask=mask)


def written(tokenizer: Tokenizer, folder: Path, *, begin: bool = False, end: bool = True) -> Any:
    write(tokenizer, folder, begin=begin, end=end, max_length=101)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(("begin", "end"), [(True, True), (True, False), (False, True)])
def test_transformers_encodes_and_decodes_as_ours(kind: TokenizerKind, begin: bool, end: bool, tmp_path: Path) -> None:
    tokenizer = ours(kind)
    theirs = written(tokenizer, tmp_path, begin=begin, end=end)
    for text in TEXTS + UNSEEN:
        ids = tokenizer.encode(text)
        assert theirs(text).input_ids == [BOS] * begin + ids + [EOS] * end
        assert theirs.decode([BOS, *ids, EOS, PAD], skip_special_tokens=True) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", SIZES)
def test_transformers_knows_the_reserved_symbols(kind: TokenizerKind, tmp_path: Path) -> None:
    theirs = written(ours(kind, mask=True), tmp_path)
    assert (theirs.pad_token_id, theirs.unk_token_id, theirs.bos_token_id) == (PAD, UNK, BOS)
    assert (theirs.eos_token_id, theirs.mask_token_id) == (EOS, MASK)
    assert (theirs.cls_token_id, theirs.sep_token_id) == (BOS, EOS)
    assert theirs.model_max_length == 101
    assert set(theirs("the cat")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    "text", ["the <mask> sat on", "<mask> cat", "the cat <mask>", "a c<mask>t sat", "a <mask> <mask>."]
)
def test_transformers_sees_the_same_holes(kind: TokenizerKind, text: str, tmp_path: Path) -> None:
    tokenizer = ours(kind, mask=True)
    if kind == "whitespace" and "c<" in text:
        return  # half a word is no word
    theirs = written(tokenizer, tmp_path, begin=True)
    ids = tokenizer.encode_with_holes(text)
    assert ids.count(MASK) == text.count("<mask>")
    assert theirs(text).input_ids == [BOS, *ids, EOS]
    assert PretrainedTokenizer.read(tmp_path).encode_with_holes(text.replace("<mask>", "[MASK]")) == ids


@pytest.mark.parametrize("kind", SIZES)
def test_what_was_written_is_read_back(kind: TokenizerKind, tmp_path: Path) -> None:
    tokenizer = ours(kind, mask=True)
    write(tokenizer, tmp_path, begin=True, end=True, max_length=101)
    back = PretrainedTokenizer.read(tmp_path)
    assert (back.begin, back.end, back.pad, back.unknown, back.mask) == (BOS, EOS, PAD, UNK, MASK)
    assert back.special_ids == {PAD, UNK, BOS, EOS, MASK}
    assert back.size == tokenizer.size
    encoded = back.encode_all(TEXTS + UNSEEN)
    assert encoded == tokenizer.encode_all(TEXTS + UNSEEN)
    for ids in encoded:
        assert back.decode([BOS, *ids, EOS]) == tokenizer.decode(ids)
        assert back.tokens(ids) == tokenizer.tokens(ids)


@pytest.mark.parametrize("kind", SIZES)
def test_both_kinds_of_tokenizers_have_one_face_and_find_the_same_words(kind: TokenizerKind, tmp_path: Path) -> None:
    tokenizer = ours(kind)
    write(tokenizer, tmp_path, begin=True, end=True, max_length=101)
    back = PretrainedTokenizer.read(tmp_path)
    assert isinstance(tokenizer, AnyTokenizer)
    assert isinstance(back, AnyTokenizer)
    for ids in tokenizer.encode_all(TEXTS):
        assert back.word_starts([*ids, EOS]) == tokenizer.word_starts([*ids, EOS])


def test_jamo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttentioError, match="jamo: false"):
        write(ours("char", jamo=True), tmp_path, begin=True, end=True, max_length=7)
    assert not list(tmp_path.iterdir())


def bert(folder: Path) -> Any:
    """A BERT tokenizer with pieces, whose special tokens stand anywhere."""
    words = "the cat [MASK] ##s ##a [SEP] s sat [PAD] on mat [UNK] . , [CLS]"
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words.split())})
    tokenizer.save_pretrained(folder)
    return tokenizer


def gpt2(folder: Path) -> Any:
    """A byte-level tokenizer, learnt from the texts."""
    core = Library(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    learnt = json.loads(core.to_str())["model"]
    vocab = learnt["vocab"] | {"<|endoftext|>": len(learnt["vocab"])}
    tokenizer = GPT2Tokenizer(vocab=vocab, merges=[tuple(merge) for merge in learnt["merges"]])
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_a_bert_tokenizer_encodes_as_in_transformers(tmp_path: Path) -> None:
    theirs = bert(tmp_path)
    tokenizer = PretrainedTokenizer.read(tmp_path)
    assert (tokenizer.begin, tokenizer.end) == (theirs.cls_token_id, theirs.sep_token_id)
    assert (tokenizer.pad, tokenizer.unknown, tokenizer.mask) == (
        theirs.pad_token_id,
        theirs.unk_token_id,
        theirs.mask_token_id,
    )
    assert tokenizer.special_ids == set(theirs.all_special_ids)
    for text in [*TEXTS, "The CATS sat, on the cata.", ""]:
        assert [tokenizer.begin, *tokenizer.encode(text), tokenizer.end] == theirs(text).input_ids
        assert tokenizer.decode(theirs(text).input_ids) == theirs.decode(
            theirs(text).input_ids, skip_special_tokens=True
        )
    holed = "the [MASK] sat on[MASK]."
    assert [tokenizer.begin, *tokenizer.encode_with_holes(holed), tokenizer.end] == theirs(holed).input_ids


def test_a_byte_level_tokenizer_encodes_as_in_transformers(tmp_path: Path) -> None:
    theirs = gpt2(tmp_path)
    tokenizer = PretrainedTokenizer.read(tmp_path)
    assert (tokenizer.begin, tokenizer.end, tokenizer.pad) == (None, theirs.eos_token_id, None)
    assert (tokenizer.unknown, tokenizer.mask) == (None, None)
    for text in [*TEXTS, *UNSEEN, "naïve ☃", ""]:
        assert tokenizer.encode(text) == theirs(text).input_ids
        assert tokenizer.decode([*tokenizer.encode(text), tokenizer.end]) == text
    with pytest.raises(AttentioError, match="no mask"):
        tokenizer.encode_with_holes("the [MASK]")


def test_a_special_token_in_the_text_is_refused(tmp_path: Path) -> None:
    bert(tmp_path)
    tokenizer = PretrainedTokenizer.read(tmp_path)
    for text in ["the [SEP] cat", "the [MASK] cat"]:
        with pytest.raises(AttentioError, match="reserved symbol"):
            tokenizer.encode(text)
    with pytest.raises(AttentioError, match="reserved symbol \\[PAD\\]"):
        tokenizer.encode_with_holes("the [MASK] [PAD]")


def test_a_text_that_a_tokenizer_without_an_unknown_token_cannot_encode_is_refused(tmp_path: Path) -> None:
    core = Library(models.WordLevel({"a": 0, "[MASK]": 1}, unk_token="[UNK]"))
    core.add_special_tokens(["[MASK]"])
    core.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"mask_token": "[MASK]"}')
    tokenizer = PretrainedTokenizer.read(tmp_path)
    assert tokenizer.encode("a") == [0]
    for encode in (tokenizer.encode, tokenizer.unknown_spans, tokenizer.encode_with_holes):
        with pytest.raises(AttentioError, match=r"cannot read the text \(.*UNK.*\); give it a token for the unknown"):
            encode("b")


def test_padding_and_truncation_in_the_file_do_not_act(tmp_path: Path) -> None:
    bert(tmp_path)
    core = Library.from_file(str(tmp_path / "tokenizer.json"))
    core.enable_truncation(3)
    core.enable_padding(length=11)
    core.save(str(tmp_path / "tokenizer.json"))
    assert len(PretrainedTokenizer.read(tmp_path).encode("the cat sat on the mat")) == 6


def test_ids_outside_the_vocabulary_have_no_token(tmp_path: Path) -> None:
    bert(tmp_path)
    tokenizer = PretrainedTokenizer.read(tmp_path)
    with pytest.raises(ValueError, match=str(tokenizer.size)):
        tokenizer.tokens([0, tokenizer.size])


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"version": "1.0"}'])
def test_a_missing_or_damaged_tokenizer_is_told_on_one_line(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(AttentioError, match=r"tokenizer\.json") as raised:
        PretrainedTokenizer.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_two_tokens_before_a_text_are_refused(tmp_path: Path) -> None:
    bert(tmp_path)
    core = Library.from_file(str(tmp_path / "tokenizer.json"))
    ids = [(name, core.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    core.post_processor = processors.TemplateProcessing(single="[CLS] [SEP] $A", special_tokens=ids)
    core.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(AttentioError, match="2 tokens before"):
        PretrainedTokenizer.read(tmp_path)
