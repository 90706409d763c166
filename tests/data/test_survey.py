"""What is told of the data before training."""

from typing import Any

from attentio.config.schema import Config, DataConfig, ModelConfig, SideConfig, TextConfig
from attentio.data.pairs import Pair
from attentio.data.part import Part
from attentio.data.survey import Survey, survey


def surveyed(train: list[Any], dev: list[Any], unit: str = "pairs", knows: Any = None, **text: Any) -> Survey:
    kind = "encoder-decoder" if unit == "pairs" else "masked-lm"
    config = Config(
        name="x",
        data=DataConfig(train="", dev=""),
        text=TextConfig(**text),
        model=ModelConfig(type=kind),  # type: ignore[arg-type]
    )
    parts = Part("t.tsv", train, (), unit, None, 3, 2), Part("d.tsv", dev, (), unit, None, 0, 1)
    return survey(config, *parts, **({} if knows is None else {"knows": knows}))


def rows(found: Survey) -> dict[str, tuple[str, str]]:
    return {name: (train, dev) for name, train, dev in found.rows}


def test_what_pairs_look_like_is_counted() -> None:
    train = [Pair("ab", "x y"), Pair("ab", "x y"), Pair("ab", "y"), Pair("abcde", "x")]
    dev = [Pair("ab", "x y"), Pair("ñab", "z"), Pair("abcde", "y"), Pair("b", "x"), Pair("bb", "x")]
    found = surveyed(train, dev, target=SideConfig(tokenizer="whitespace"))
    assert rows(found) == {
        "pairs": ("4", "5"),
        "pairs that are repeated": ("1", "0"),
        "repeated sources with other targets": ("1", "0"),
        "sources that are in train too": ("", "2"),
        "pairs that are in train too": ("", "1"),
        "source: mean and most characters": ("2.8, 5", "2.6, 5"),
        "source: letters that train lacks": ("", "1"),
        "target: mean and most characters": ("2.0, 3", "1.4, 3"),
        "target: words that train lacks": ("", "1"),
        "texts trimmed of white space": ("3", "0"),
        "texts composed (Unicode NFC)": ("2", "1"),
    }
    assert found.notes == [
        "d.tsv has letters that a model of t.tsv cannot know, in the source: 'ñ'",
        "d.tsv has words that a model of t.tsv cannot know, in the target: 'z'",
    ]
    words = surveyed([Pair("go", "went")], [Pair("do", "did")], target=SideConfig(tokenizer="whitespace"))
    assert words.notes[-1].endswith("--text.target.tokenizer char spells it")
    kept = rows(surveyed(train, dev, normalize="none"))
    assert kept["texts with white space around them"] == ("3", "0")


def test_a_dev_set_that_is_trained_on_is_told() -> None:
    train = [Pair("a", "b"), Pair("b", "a"), Pair("ab", "ab")]
    (note,) = surveyed(train, train[::-1]).notes
    assert note.startswith("d.tsv is what is trained on, t.tsv: its scores tell what is remembered")
    (note,) = surveyed(train, [Pair("a", "b"), Pair("ba", "b")]).notes
    assert note.startswith("d.tsv has 1 of its 2 pairs from what is trained on, t.tsv: ")
    assert surveyed(train, [Pair("a", "b"), Pair("ba", "b"), Pair("bb", "b")]).notes == []


def test_documents_are_surveyed_too_and_jamo_are_the_letters_of_hangul() -> None:
    found = surveyed(["한글", "가"], ["하글", "한글"], "documents", source=SideConfig(jamo=True))
    assert found.notes[0].startswith("d.tsv has 1 of its 2 documents from what is trained on, t.tsv: ")
    assert rows(found)["documents: letters that train lacks"] == ("", "0")
    assert rows(surveyed(["한글", "가"], ["하글"], "documents"))["documents: letters that train lacks"] == ("", "1")
    assert rows(found)["documents that are in train too"] == ("", "1")


def test_what_a_kept_vocabulary_knows_is_no_letter_that_a_model_cannot_know() -> None:
    train, dev = [Pair("ab", "x")], [Pair("abñç", "xz")]
    found = surveyed(train, dev, knows=lambda side, symbol: (side, symbol) in (("source", "ñ"), ("target", "z")))
    assert found.notes == ["d.tsv has letters that a model of t.tsv cannot know, in the source: 'ç'"]
    assert rows(found)["source: letters that train lacks"] == ("", "2")
