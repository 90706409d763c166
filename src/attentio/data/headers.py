"""First rows that only name the columns."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

_ENOUGH = 10
"""Rows from which it is strange that one row is written in a script of its own."""

_HEADINGS = set(
    re.findall(
        r"\w+",
        """
        a answer answers arpabet de en english es feature features fr french form german gloss grapheme graphemes hangul
        headword input inputs instruction ipa ja japanese kanji ko korean kr label labels language lemma letters
        original output outputs phone phoneme phonemes phones phrase pinyin prompt pronunciation pronunciations q query
        question questions reference references reply response romaja romanisation romanization sentence sentences
        sequence sound sounds source sources spanish spelling src summary tag tags target targets term text texts tgt
        title transcript transcription translated translation translations transliteration trg utterance word words zh
        원문 번역 번역문 단어 낱말 발음 한국어 한글 영어 입력 출력 질문 답변 대답 응답 문장 원본 정답 뜻 표기 철자
        """,
    )
)
"""Words that name columns of pairs, as people call them."""


def names_columns(cells: Sequence[str]) -> bool:
    """Whether the texts of a row are headings in well-known words: "source" and "target", "원문" and "번역"."""
    words = [re.findall(r"[^\W\d_]+", cell.lower()) for cell in cells]
    known = all(each and _HEADINGS.issuperset(each) for each in words)
    return known and len({tuple(each) for each in words}) == len(cells)


def stands_apart(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has a text in a script that no other row has in its column, as headings may."""
    if len(rows) < _ENOUGH:
        return False
    return any(
        (own := _scripts(cell)) and not any(own & _scripts(row[column]) for row in islice(rows, 1, None))
        for column, cell in enumerate(rows[0])
    )


def _scripts(text: str) -> set[str]:
    """The alphabets of the letters: LATIN, HANGUL, .."""
    return {unicodedata.name(letter, "").partition(" ")[0] for letter in set(text) if letter.isalpha()} - {""}
