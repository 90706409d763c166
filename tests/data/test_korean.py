"""How Korean is spoken: the examples of the Standard Pronunciation (표준 발음법), article by article."""

import re
from importlib import resources

import pytest

from attentio.data import korean
from attentio.data.korean.rules import pronounce

ARTICLES = {
    "5: vowels": """
        가져→가저 다쳐→다처 희망→히망 무늬→무니 의사→의사
    """,
    "8 to 11: finals": """
        닭→닥 넋→넉 부엌→부억 웃다→욷따 꽃→꼳 앞→압 덮다→덥따 밟다→밥따 밟는→밤는 넓다→널따
        넓죽하다→넙쭈카다 여덟→여덜 외곬→외골 맑다→막따 늙지→늑찌 맑게→말께 묽고→물꼬 읽거나→일꺼나
        닭과→닥꽈
    """,
    "12: ㅎ": """
        좋다→조타 놓고→노코 많고→만코 닳지→달치 각하→가카 먹히다→머키다 맏형→마텽 좁히다→조피다
        넓히다→널피다 꽂히다→꼬치다 앉히다→안치다 못하다→모타다 닿소→다쏘 많소→만쏘 싫소→실쏘 놓는→논는
        쌓네→싼네 않네→안네 뚫네→뚤레 낳은→나은 많아→마나 싫어도→시러도 축하합니다→추카함니다
        괜찮아요→괜차나요
    """,
    "13, 14: before a vowel": """
        깎아→까까 있어→이써 앉아→안자 닭을→달글 젊어→절머 핥아→할타 읊어→을퍼 없어→업써 넋이→넉씨
        값이→갑씨
    """,
    "15, 16: before a vowel of a word's own, letters": """
        밭아래→바다래 젖어미→저더미 맛없다→마덥따 헛웃음→허두슴 값어치→가버치 디귿이→디그시 피읖에→피으베
    """,
    "17: palatal": """
        같이→가치 굳이→구지 해돋이→해도지 벼훑이→벼훌치 굳히다→구치다 닫혀→다처 붙여→부처
    """,
    "18: nasal": """
        국물→궁물 먹는→멍는 깎는→깡는 키읔만→키응만 몫몫이→몽목씨 긁는→긍는 흙만→흥만 닫는→단는
        옷맵시→온맵씨 있는→인는 맞는→만는 꽃망울→꼰망울 붙는→분는 밥물→밤물 앞마당→암마당 읊는→음는
        없는→엄는
    """,
    "19: ㄹ to ㄴ": """
        담력→담녁 침략→침냑 강릉→강능 대통령→대통녕 막론→망논 협력→혐녁 십리→심니
    """,
    "20: ㄴ to ㄹ": """
        신라→실라 난로→날로 천리→철리 칼날→칼랄 닳는→달른 핥네→할레 의견란→의견난 생산량→생산냥
    """,
    "23 to 28: tense": """
        학교→학꾜 국밥→국빱 깎다→깍따 닭장→닥짱 옷고름→옫꼬름 있던→읻떤 꽃다발→꼳따발 낯설다→낟썰다
        밭갈이→받까리 옆집→엽찝 값지다→갑찌다 앉고→안꼬 얹다→언따 앉다→안따 닮고→담꼬 굶기다→굼기다
        옮기다→옴기다 넓게→널께 핥다→할따 떫지→떨찌 갈등→갈뜽 절도→절또 물질→물찔 발전→발쩐 갈증→갈쯩
        할게요→할께요 할걸→할껄 할수록→할쑤록 문고리→문꼬리 눈동자→눈똥자 길가→길까
    """,
    "29, 30: ㄴ put in, ㅅ between": """
        솜이불→솜니불 꽃잎→꼰닙 한여름→한녀름 색연필→생년필 들일→들릴 솔잎→솔립 물약→물략 서울역→서울력
        깻잎→깬닙 나뭇잎→나문닙 콧날→콘날 뱃머리→밴머리
    """,
}


@pytest.mark.parametrize("article", ARTICLES)
def test_the_examples_of_the_standard_are_spoken_as_it_says(article: str) -> None:
    examples = dict(one.split("→") for one in ARTICLES[article].split())
    assert {word: pronounce(word) for word in examples} == examples


def test_what_is_no_hangul_stays_and_parts_words() -> None:
    assert pronounce("국 물, ABC 국물!") == "국 물, ABC 궁물!"
    assert pronounce("게요 걸 수록") == "게요 걸 수록"
    assert pronounce("실수록 ㄱㅏ") == "실쑤록 ㄱㅏ"


def test_only_the_seven_finals_are_spoken() -> None:
    for _, spoken in korean.pairs("dev")[:300]:
        assert re.fullmatch("[가-힣]+", spoken)
        finals = {(ord(letter) - ord("가")) % 28 for letter in spoken}
        assert finals <= {0, 1, 4, 7, 8, 16, 17, 21}  # none, or one of the seven: ㄱㄴㄷㄹㅁㅂㅇ


def test_the_words_are_split_and_keep_their_length() -> None:
    parts = {split: korean.pairs(split) for split in ("train", "dev", "test")}
    assert {split: len(pairs) for split, pairs in parts.items()} == {"train": 18_481, "dev": 1_002, "test": 989}
    words = [word for pairs in parts.values() for word, _ in pairs]
    assert len(set(words)) == len(words)
    assert all(len(word) == len(spoken) for pairs in parts.values() for word, spoken in pairs)
    with pytest.raises(ValueError, match="split must be"):
        korean.pairs("all")


def test_the_licence_comes_along() -> None:
    assert "MIT License" in resources.files(korean).joinpath("LICENSE").read_text(encoding="utf-8")
