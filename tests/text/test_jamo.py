import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from attentio.text.jamo import decompose, recompose

any_text = st.text(st.characters(exclude_categories=["Cs"]))
hangul = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3))
conjoining = st.text(st.sampled_from("\u1100\u1112\u1161\u1175\u11a8\u11c2\u119e\u0301가값aé"))


def test_a_syllable_becomes_its_two_or_three_jamo() -> None:
    assert decompose("가") == "\u1100\u1161"
    assert decompose("값") == "\u1100\u1161\u11b9"
    assert decompose("힣") == "\u1112\u1175\u11c2"


def test_every_syllable_comes_back() -> None:
    syllables = [chr(code) for code in range(0xAC00, 0xD7A4)]
    assert len({decompose(syllable) for syllable in syllables}) == 11_172
    assert recompose(decompose("".join(syllables))) == "".join(syllables)


@given(st.one_of(any_text, hangul, conjoining))
def test_text_in_nfc_comes_back_exactly(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert recompose(decompose(text)) == text


@given(hangul)
def test_hangul_in_nfd_comes_back_in_nfc(text: str) -> None:
    assert recompose(decompose(unicodedata.normalize("NFD", text))) == text


def test_accents_and_other_jamo_are_left_alone() -> None:
    text = "e\u0301 é ㅎㅏㄴ \u1140\u1161 \u1100 \u11a8 Å \u212b"
    assert decompose(text) == text
    assert recompose(text) == text
