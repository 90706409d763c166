"""What a vocabulary does not know: where it stands in the text, and the form that is known."""

import pytest
from tokenizers import Tokenizer as Core
from tokenizers import decoders, models, pre_tokenizers

from attentio.text.pretrained import PretrainedTokenizer
from attentio.text.tokenizer import Tokenizer
from attentio.text.unknown import Unknown, told, unknown_in

TEXTS = ["cat dog caf\u00e9 \ud55c", "act god \ud55c \ud55c cat cat dog"]


def learnt(kind: str, **options: object) -> Tokenizer:
    return Tokenizer.train(TEXTS, kind=kind, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", []),
        ("C", [("C", 1, "c")]),
        ("aTx", [("T", 2, "t"), ("x", 3, None)]),
        ("\uff34", [("\uff34", 1, "t")]),  # full width
        ("cat\t", [("\t", 4, "")]),
        ("\u00a0cat", [("\u00a0", 1, "")]),
        ("a\u00a0t", [("\u00a0", 2, " ")]),
        ("cafe\u0301", [("e", 4, "\u00e9"), ("\u0301", 5, "\u00e9")]),
        ("\u1112\u1161\u11ab", [(jamo, n, "\ud55c") for n, jamo in enumerate("\u1112\u1161\u11ab", start=1)]),
        ("\uff1cs\uff1e", [("\uff1c", 1, None), ("s", 2, None), ("\uff1e", 3, None)]),
    ],
)
def test_characters_have_their_place_and_the_form_that_is_known(
    text: str, expected: list[tuple[str, int, str | None]]
) -> None:
    assert unknown_in(text, learnt("char")) == [Unknown(*each) for each in expected]


def test_words_and_pieces_are_found_where_they_stand() -> None:
    assert unknown_in("cat Dog xx", learnt("whitespace")) == [Unknown("Dog", 5, "dog"), Unknown("xx", 9, None)]
    assert unknown_in("\uff1cs\uff1e", learnt("whitespace")) == [Unknown("\uff1cs\uff1e", 1, None)], "a reserved symbol"
    pieces = learnt("bpe", vocab_size=20)
    assert unknown_in("cat Dog", pieces) == [Unknown("D", 5, "d")]
    unigram = learnt("unigram", vocab_size=15)
    assert [each.text for each in unknown_in("cat zog", unigram)] == ["z"]


def test_a_syllable_spelt_in_jamo_is_told_once_in_its_place() -> None:
    tokenizer = Tokenizer.train(["\ud55c \uac00"], kind="char", jamo=True)
    assert unknown_in("\ud55c\uae00 \uac00\ubc16", tokenizer) == [
        Unknown("\uae00", 2, None),
        Unknown("\ubc16", 5, None),
    ]


def test_with_bytes_to_fall_back_on_everything_is_known() -> None:
    core = Core(models.BPE({letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PretrainedTokenizer(core=core, begin=None, end=None, pad=None, unknown=None, mask=None)
    assert unknown_in("C \ud55c", tokenizer) == []


def test_one_line_tells_the_first_and_how_many_more() -> None:
    assert told([Unknown("\u3131", 1, "\u1100")]).endswith("it knows '\u1100' (U+1100)")
    assert (
        told([Unknown("C", 1, "c")], "line 3") == "'C' (line 3, character 1): the model does not know it; it knows 'c'"
    )
    assert told([Unknown("\t", 4, "")]) == "'\\t' (character 4): the model does not know it; leave it out"
    two = [Unknown("x", 1, None), Unknown("y", 2, None)]
    assert told(two, "line 3") == "'x' (line 3, character 1): the model does not know it (and 1 more there)"
