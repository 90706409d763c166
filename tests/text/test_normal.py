import math
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attentio.text.normal import Normalizer, checked, checked_pairs, normalized, trimmed


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")))
def test_what_is_trimmed_is_what_python_calls_white_space(text: str) -> None:
    assert trimmed(text) == text.strip()


@given(st.text())
def test_normal_text_stays_as_it_is_and_its_forms_become_it(text: str) -> None:
    once = normalized(text, "nfc")
    assert normalized(once, "nfc") == once
    assert normalized(unicodedata.normalize("NFD", f"\ufeff\t{text} \ufeff"), "nfc") == once
    assert normalized(text, "none") == text


def test_texts_that_are_not_normal_are_counted() -> None:
    for how, first in (("nfc", "한"), ("none", " 한")):
        normal = Normalizer(how)  # type: ignore[arg-type]
        assert [normal(text) for text in (" 한", "한", "a")] == [first, "한", "a"]
        assert (normal.trimmed, normal.composed) == (1, 0)
        normal(unicodedata.normalize("NFD", "한 é "))
        assert (normal.trimmed, normal.composed) == (2, 1)


def test_an_empty_cell_of_a_table_is_no_text() -> None:
    with pytest.raises(TypeError, match=r"texts\[1\] must be a text \(str\), got float"):
        checked(["hello", math.nan])


@pytest.mark.parametrize("pairs", [("국물", "궁물"), "ab", [("a", "b"), ("a", None)], [("a", "b", "c")]], ids=str)
def test_one_pair_is_not_taken_for_two_of_its_letters(pairs: Any) -> None:
    with pytest.raises(
        TypeError, match=r"pairs must be a list of \(source, target\), two texts each, got .* at pairs\["
    ):
        checked_pairs(pairs)
