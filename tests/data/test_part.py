"""What is held out of the training data where a run has no dev set, and how the parts are kept."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from attentio.config.schema import Config, DataConfig, ModelConfig
from attentio.data.pairs import Pair
from attentio.data.part import HELD_OUT, Part, hold_out, read_held_out, read_part, read_parts
from attentio.errors import AttentioError


def pairs(count: int, targets: int = 1) -> list[Pair]:
    return [Pair(f"source {i}", f"target {i} {j}") for j in range(targets) for i in range(count)]


@pytest.mark.parametrize(("sources", "held"), [(2, 1), (39, 1), (40, 2), (1999, 99), (23_000, 1000)])
def test_one_source_in_twenty_is_held_out_at_least_one_and_at_most_a_thousand(sources: int, held: int) -> None:
    train, dev = hold_out(Part("x.tsv", pairs(sources), (), "pairs"))
    assert (len(train.items), len(dev.items)) == (sources - held, held)
    assert sorted([*train.items, *dev.items]) == sorted(pairs(sources))
    assert (train.name, dev.name) == ("x.tsv", "x.tsv, held out")


def test_no_source_is_on_both_sides_and_order_and_repetition_change_nothing() -> None:
    items = pairs(101, targets=3)
    train, dev = hold_out(Part("x.tsv", items, (), "pairs"))
    assert not {pair.source for pair in train.items} & {pair.source for pair in dev.items}
    assert len(dev.items) == 3 * 5
    shuffled = random.Random(3).sample(items, len(items)) + items[:70]
    assert {pair.source for pair in hold_out(Part("y.tsv", shuffled, (), "pairs"))[1].items} == {
        pair.source for pair in dev.items
    }


def test_what_is_held_out_is_no_end_of_a_sorted_file() -> None:
    numbers = [int(text) for text in hold_out(Part("x.txt", [str(i) for i in range(1000)], (), "documents"))[1].items]
    assert numbers == sorted(numbers)
    assert min(numbers) < 250
    assert max(numbers) > 750


def test_equal_documents_stay_together() -> None:
    train, dev = hold_out(Part("x.txt", ["a", "b", "a", "b", "b"], (), "documents"))
    assert not set(train.items) & set(dev.items)


def test_of_a_single_document_the_last_lines_are_held_out() -> None:
    train, dev = hold_out(Part("x.txt", ["\n".join(map(str, range(41)))], (), "documents"))
    assert dev.items == ["39\n40"]
    assert train.items == ["\n".join(map(str, range(39)))]


@pytest.mark.parametrize(
    "part", [Part("x", [Pair("a", "b"), Pair("a", "c")], (), "pairs"), Part("x", ["a", "a"], (), "documents")]
)
def test_a_single_source_cannot_be_held_out(part: Part) -> None:
    with pytest.raises(
        AttentioError, match=r"^x: there is only one source, so none can be held out; give --data\.dev FILE$"
    ):
        hold_out(part)


def test_what_is_held_out_is_read_back_the_same(tmp_path: Path) -> None:
    config = Config(name="x", data=DataConfig(train=str(tmp_path / "x.tsv")))
    (tmp_path / "x.tsv").write_text("source\ttarget\n 한\tb \nc\td\n", encoding="utf-8")
    train, dev = read_parts(config)
    dev.write(tmp_path / HELD_OUT)
    (tmp_path / "data.json").write_text(json.dumps({"train": train.facts(), "dev": dev.facts()}))
    assert read_part(config, str(tmp_path / HELD_OUT)).items == dev.items
    assert len(train.items) == len(dev.items) == 1
    named = replace(config, data=DataConfig(train="", columns=["w", "3"]))
    assert read_held_out(named, tmp_path).items == dev.items, "its form is its own"
    Part("x", [Pair("e", "f")], (), "pairs").write(tmp_path / HELD_OUT)
    with pytest.raises(
        AttentioError, match=r"held-out\.jsonl has been altered since it was written; copy it again, or"
    ):
        read_held_out(named, tmp_path)
    (tmp_path / HELD_OUT).unlink()
    with pytest.raises(
        AttentioError, match=r"held-out\.jsonl is missing, which was held out of the training data; copy"
    ):
        read_held_out(named, tmp_path)
    (tmp_path / "x.zip").write_bytes(b"")
    for alone in ("x.zip", "x,y"):
        with pytest.raises(AttentioError, match=rf"{alone}: .* is kept in run directories; give --data FILE"):
            read_held_out(named, tmp_path / alone)
    text = Config(name="x", data=DataConfig(train=""), model=ModelConfig(type="causal-lm"))
    Part("x", ["a\nb"], (), "documents").write(tmp_path / HELD_OUT)
    assert read_part(text, str(tmp_path / HELD_OUT)).items == ["a\nb"]


def test_held_out_lines_that_begin_with_white_space_are_read_back_the_same(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("".join(f"line {number}\n" for number in range(38)) + "\n  end\n")
    data = DataConfig(train=str(tmp_path / "x.txt"), document="file")
    config = Config(name="x", data=data, model=ModelConfig(type="causal-lm"))
    train, dev = read_parts(config)
    dev.write(tmp_path / HELD_OUT)
    (tmp_path / "data.json").write_text(json.dumps({"train": train.facts(), "dev": dev.facts()}))
    assert dev.items[0].startswith("\n"), "or nothing is tested"
    assert read_held_out(config, tmp_path).items == dev.items


@pytest.mark.parametrize(
    ("option", "data"),
    [
        ({"columns": ["word", "sounds"]}, "dates:dev"),
        ({"separator": "semicolon"}, "a.txt,b.txt"),
        ({"header": True}, "x.jsonl"),
    ],
)
def test_options_of_tables_are_refused_where_there_is_none(option: dict, data: str) -> None:
    config = Config(name="x", data=DataConfig(train=data, **option))
    with pytest.raises(AttentioError, match=f"data.{next(iter(option))} is for files of columns, and {data} is none"):
        read_parts(config)
