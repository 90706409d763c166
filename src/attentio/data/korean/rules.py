"""Hangul as it is spelt -> as it is spoken, by the Standard Pronunciation (표준 발음법, 1988): "국물" -> "궁물".

The numbers are those of its articles (제5항 ...). What it leaves to choose is read the first way that it names, but for
맛있다, which is read [마싣따], and 사이시옷 (제30항 1), which is read as ㄷ. Articles that need the word's parts or
meaning are kept for the words in the lists below, and no others: 15, 26, 28, 29. Not covered are the length of vowels
(6, 7), the tense consonants after verb stems in ㄴ and ㅁ (24: 신고 [신꼬]), and the glides that may be put in (22).
"""

import re
from dataclasses import dataclass

_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = ["", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"]
_HANGUL = re.compile("[가-힣]+")


def _between(pairs: str) -> re.Pattern[str]:
    """Matches the places of the bars."""
    return re.compile("|".join(f"(?<={one.replace('|', ')(?=')})" for one in pairs.split()))


# 15: a final is spoken as if it stood alone before a part of the word that begins with a vowel. 29: before 이, 야, 여,
# 요 and 유 the part gets an ㄴ.
_PARTS = _between("""
    값|어치 겉|옷 넋|없 늪|앞 닭|앞 맛|없 멋|없 몇|월 못|와 못|알아 밭|아래 젖|어미 헛|웃 강남|역 꽃|잎 나뭇|잎
    깻|잎 솔|잎 눈|요기 담|요 막|일 들|일 뒷|일 밤|윷 별|일 볼|일 부엌|일 불|여우 색|연필 서울|역 설|익 솜|이불
    홑|이불 식용|유 휘발|유 신|여성 십|육 알|약 물|약 물|엿 콩|엿 앞|일 옛|일 직행|열차 집안|일 첫|여름 한|여름
    할|일 헛|일 내복|약 맨|입
""")
# 26: Chinese words in which ㄷ, ㅅ, ㅈ are tense after ㄹ. 28: compounds whose second part begins tense.
_TENSE = _between("""
    갈|등 갈|증 결|심 결|석 결|정 몰|상식 물|질 밀|접 발|달 발|동 발|생 발|전 별|도 불|소 설|득 설|정 실|수 실|제
    실|증 열|심 열|정 율|동 일|상 일|시 일|주 일|정 절|대 절|도 절|실 질|서 철|도 출|동 출|석 출|신 칠|십 팔|십
    필|수 할|당 활|동 강|가 길|가 굴|속 눈|동자 눈|빛 등|불 문|고리 물|고기 발|바닥 산|새 손|등 손|재주 술|잔
    술|자리 신|바람 아침|밥 안|방 창|살 초승|달 그믐|달 바람|결 밤|바다
""")
# 27: what follows the ㄹ of a verb that describes or promises.
_AFTER_L = re.compile("(?<!^)(?:게(?=요$)|걸(?=요?$|까)|수록|지(?=라도|언정)|세라|거(?=야|예|에요))")
# 20: words in which ㄴ and ㄹ become ㄴㄴ.
_NN = re.compile("의견란|임진란|생산량|결단력|공권력|동원령|상견례|횡단로|이원론|입원료|구근류|판단력|음운론")
# 16: the names of letters, and what their finals are before a vowel.
_LETTER_NAMES = {"디귿": "ㅅ", "지읒": "ㅅ", "치읓": "ㅅ", "키읔": "ㄱ", "티읕": "ㅅ", "피읖": "ㅂ", "히읗": "ㅅ"}

_ALONE = {  # 8 to 11: the seven finals that are spoken, and what the others become
    **dict.fromkeys("ㄱㄲㅋㄳㄺ", "ㄱ"), **dict.fromkeys("ㄴㄵㄶ", "ㄴ"), **dict.fromkeys("ㄷㅅㅆㅈㅊㅌㅎ", "ㄷ"),
    **dict.fromkeys("ㄹㄼㄽㄾㅀ", "ㄹ"), **dict.fromkeys("ㅁㄻ", "ㅁ"), **dict.fromkeys("ㅂㅍㅄㄿ", "ㅂ"),
    "ㅇ": "ㅇ", "": "",
}  # fmt: skip
_CARRIED = {  # 13, 14: what stays and what goes over to a vowel
    "ㄳ": ("ㄱ", "ㅆ"), "ㄵ": ("ㄴ", "ㅈ"), "ㄺ": ("ㄹ", "ㄱ"), "ㄻ": ("ㄹ", "ㅁ"), "ㄼ": ("ㄹ", "ㅂ"),
    "ㄽ": ("ㄹ", "ㅆ"), "ㄾ": ("ㄹ", "ㅌ"), "ㄿ": ("ㄹ", "ㅍ"), "ㅄ": ("ㅂ", "ㅆ"),
}  # fmt: skip
_TENSED = dict(zip("ㄱㄷㅂㅅㅈ", "ㄲㄸㅃㅆㅉ", strict=True))
_ASPIRATED = dict(zip("ㄱㄷㅂㅈ", "ㅋㅌㅍㅊ", strict=True))
_NASAL = {"ㄱ": "ㅇ", "ㄷ": "ㄴ", "ㅂ": "ㅁ"}
_WITHOUT_H = {"ㅎ": "", "ㄶ": "ㄴ", "ㅀ": "ㄹ"}


@dataclass
class _Syllable:
    initial: str
    vowel: str
    final: str


def pronounce(text: str) -> str:
    """The text with each of its words of Hangul as it is spoken; everything else stays."""
    return _HANGUL.sub(lambda word: _pronounce(word[0]), text)


def _pronounce(word: str) -> str:
    syllables = [_taken_apart(letter) for letter in word]
    for syllable in syllables:
        if syllable.vowel == "ㅢ" and syllable.initial != "ㅇ":  # 5, 다만 3
            syllable.vowel = "ㅣ"
    _parts(word, syllables)
    exceptions = {match.end() - 1 for match in _NN.finditer(word)}
    for place in range(len(word) - 1):
        _meet(syllables[place], syllables[place + 1], word[place : place + 2], splits=place + 1 in exceptions)
    syllables[-1].final = _ALONE[syllables[-1].final]
    for syllable in syllables:
        if syllable.vowel == "ㅕ" and syllable.initial in "ㅈㅉㅊ":  # 5, 다만 1
            syllable.vowel = "ㅓ"
    return "".join(map(_put_together, syllables))


def _parts(word: str, syllables: list[_Syllable]) -> None:
    """What depends on the word: 15, 16, 26, 27, 28, 29."""
    for place in (match.start() for match in _PARTS.finditer(word)):
        left, right = syllables[place - 1], syllables[place]
        if right.vowel in "ㅣㅑㅕㅛㅠ":
            right.initial = "ㄴ"
        else:
            left.final = _ALONE[left.final]
    for name, final in _LETTER_NAMES.items():
        place = word.find(name) + 2
        if 2 <= place < len(word) and syllables[place].initial == "ㅇ":
            syllables[place - 1].final = final
    tense = {match.start() for match in _TENSE.finditer(word)}
    tense |= {match.start() for match in _AFTER_L.finditer(word) if syllables[match.start() - 1].final == "ㄹ"}
    for place in tense:
        syllables[place].initial = _TENSED[syllables[place].initial]


def _meet(left: _Syllable, right: _Syllable, spelt: str, *, splits: bool) -> None:
    """What the final of a syllable and the initial of the next do to each other. spelt: both, as they are written."""
    if left.final in ("ㅎ", "ㄶ", "ㅀ"):
        _after_h(left, right)
    elif right.initial == "ㅎ" and left.final:
        _before_h(left, right)
    if right.initial == "ㅇ":
        _carry_over(left, right)
        return
    _tense(left, right, spelt)
    left.final = _alone(left.final, spelt)
    _assimilate(left, right, splits=splits)


def _after_h(left: _Syllable, right: _Syllable) -> None:
    rest = _WITHOUT_H[left.final]
    if right.initial in "ㄱㄷㅈ":  # 12.1
        left.final, right.initial = rest, _ASPIRATED[right.initial]
    elif right.initial == "ㅅ":  # 12.2
        left.final, right.initial = rest, "ㅆ"
    elif right.initial == "ㄴ":  # 12.3
        left.final = rest or "ㄴ"
    elif right.initial == "ㅇ":  # 12.4
        left.final = rest


def _before_h(left: _Syllable, right: _Syllable) -> None:
    rest, last = {"ㄺ": ("ㄹ", "ㄱ"), "ㄼ": ("ㄹ", "ㅂ"), "ㄵ": ("ㄴ", "ㅈ"), "ㅈ": ("", "ㅈ")}.get(
        left.final, ("", _ALONE[left.final])
    )
    if last in _ASPIRATED:  # 12, 붙임 1 and 2
        palatal = left.final == "ㄷ" and _palatal(right)  # 17, 붙임
        left.final, right.initial = rest, "ㅊ" if palatal else _ASPIRATED[last]


def _carry_over(left: _Syllable, right: _Syllable) -> None:
    if left.final in ("", "ㅇ"):
        return
    palatal = {"ㄷ": "ㅈ", "ㅌ": "ㅊ", "ㄾ": "ㅊ"}.get(left.final)
    if palatal and _palatal(right):  # 17
        left.final, right.initial = "ㄹ" if left.final == "ㄾ" else "", palatal
    elif left.final in _CARRIED:  # 14
        left.final, right.initial = _CARRIED[left.final]
    else:  # 13
        left.final, right.initial = "", left.final


def _palatal(right: _Syllable) -> bool:
    """Whether it is 이 or 히, perhaps joined with 어."""
    return right.vowel == "ㅣ" or (right.vowel == "ㅕ" and right.final in ("", "ㅆ"))


def _tense(left: _Syllable, right: _Syllable, spelt: str) -> None:
    stem = left.final == "ㄻ" and spelt[0] != "삶" and spelt not in ("옮기", "굶기", "곪기")  # 24
    flat = left.final in ("ㄼ", "ㄾ") and spelt[0] != "덟"  # 25
    if _ALONE[left.final] in ("ㄱ", "ㄷ", "ㅂ") or left.final == "ㄵ" or stem or flat:  # 23
        right.initial = _TENSED.get(right.initial, right.initial)


def _alone(final: str, spelt: str) -> str:
    """8 to 11, with the exceptions that the article names."""
    if final == "ㄼ" and (spelt[0] == "밟" or spelt in ("넓죽", "넓둥")):  # 10, 다만
        return "ㅂ"
    if final == "ㄺ" and _taken_apart(spelt[1]).initial == "ㄱ" and spelt[0] not in "닭흙칡슭삵":  # 11, 다만
        return "ㄹ"
    return _ALONE[final]


def _assimilate(left: _Syllable, right: _Syllable, *, splits: bool) -> None:
    if right.initial == "ㄹ" and (left.final in "ㄱㄷㅂㅁㅇ" or splits) and left.final:  # 19; 20, 다만
        right.initial = "ㄴ"
    if right.initial in "ㄴㅁ":  # 18
        left.final = _NASAL.get(left.final, left.final)
    if (left.final, right.initial) in (("ㄴ", "ㄹ"), ("ㄹ", "ㄴ")):  # 20
        left.final = right.initial = "ㄹ"


def _taken_apart(letter: str) -> _Syllable:
    rest, final = divmod(ord(letter) - ord("가"), len(_FINALS))
    initial, vowel = divmod(rest, len(_VOWELS))
    return _Syllable(_INITIALS[initial], _VOWELS[vowel], _FINALS[final])


def _put_together(syllable: _Syllable) -> str:
    place = _INITIALS.index(syllable.initial) * len(_VOWELS) + _VOWELS.index(syllable.vowel)
    return chr(ord("가") + place * len(_FINALS) + _FINALS.index(syllable.final))
