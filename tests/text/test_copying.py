"""Symbols that no vocabulary has, numbered in a source and said in its target."""

import pytest

from attentio.config.read import load_config
from attentio.errors import AttentioError
from attentio.text.copying import Copying
from attentio.text.tokenizer import UNK, Tokenizer

SOURCE = Tokenizer.train(["call ann before bob", "see"], kind="whitespace")
TARGET = Tokenizer.train(["call see after ann"], kind="whitespace")


def test_what_is_unknown_comes_back_as_it_was_written() -> None:
    copying, source = Copying(SOURCE, TARGET), "call Zoë before Ümit before Zoë bob"
    ids = copying.source_ids(source)
    first, second = SOURCE.size, SOURCE.size + 1
    assert [ids[i] for i in (1, 3, 5)] == [first, second, first]
    assert copying.unknown(source) == ["Zoë", "Ümit"]
    of_source, of_target = copying.of(source)
    assert of_source.tokens(ids) == source.split()
    said = "Ümit after ann call bob Zoë elsewhere"
    target = copying.said_ids(said, source)
    assert target[-1] == UNK, "in neither vocabulary, and not in the source"
    assert of_target.decode(target) == said.removesuffix(" elsewhere")
    assert of_target.tokens(target)[:-1] == said.split()[:-1]


def test_an_entry_of_the_source_alone_can_be_said_where_the_source_has_it() -> None:
    copying = Copying(SOURCE, TARGET)
    assert "before" in SOURCE.tokens(range(SOURCE.size))
    assert copying.said_ids("call before", "see ann") == [*TARGET.encode("call"), UNK]
    said = copying.said_ids("call before", "see before")
    assert said[-1] >= TARGET.size
    assert copying.of("see before")[1].decode(said) == "call before"
    assert set(copying.symbols("see before Zoë ann")) == {"before", "Zoë"}


def test_each_entry_of_a_source_has_an_id_in_the_target() -> None:
    copying = Copying(SOURCE, TARGET)
    _, target = copying.of("")
    assert target.tokens(copying.target_ids) == SOURCE.tokens(range(SOURCE.size))
    assert copying.source_ids("call ann") == SOURCE.encode("call ann")


def test_characters_are_joined_without_spaces() -> None:
    tokenizer = Tokenizer.train(["ab 가", "ba"], kind="char", jamo=True)
    copying = Copying(tokenizer, tokenizer)
    _, target = copying.of("aXb 가Y")
    assert target.decode(copying.said_ids("Y가 bXa", "aXb 가Y")) == "Y가 bXa"


def test_pieces_are_refused() -> None:
    options = ["--model.copy", "true", "--text.source.tokenizer", "bpe", "--text.target.tokenizer", "whitespace"]
    with pytest.raises(AttentioError, match=r"model.copy needs tokens that are text"):
        load_config("luong", options)
