"""What the commands say in Korean: the catalogue is whole, values are carried over, and what programs read stays."""

import errno
import gettext
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from messages import CATALOGUE, OUR_WORDS, PACKAGE, template
from toy_pairs import OPTIONS, as_arguments

from attentio.commands.main import VERBS
from attentio.commands.words import said
from attentio.evaluation.confusions import Confusion

PLACE = re.compile(r"\{\d+(?::said|:word)?\}")
HANGUL = re.compile("[가-힣]")

with CATALOGUE.open("rb") as file:
    KOREAN = {str(message.id): message for message in read_po(file, locale="ko") if message.id}


@pytest.fixture
def korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "ko")


def test_the_catalogue_has_the_messages_of_the_source_and_no_others() -> None:
    """`make words` brings it up to date."""
    assert KOREAN.keys() == {message.id for message in template() if message.id}


def test_every_message_is_translated() -> None:
    assert [text for text, message in KOREAN.items() if message.fuzzy or not message.string] == []


def test_a_message_has_the_same_places_in_both_languages() -> None:
    """And whole: a brace that is lost would be shown."""
    for text, message in KOREAN.items():
        assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(message.string)), text
        assert text.count("{") == message.string.count("{"), text


def test_what_is_compiled_is_what_is_written() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {text: compiled.gettext(text) for text in KOREAN} == {text: each.string for text, each in KOREAN.items()}


@pytest.mark.parametrize("text", OUR_WORDS)
def test_words_that_no_rule_finds_are_still_in_the_source(text: str) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    sources = re.sub(r'"\n\s+f?"', "", sources)
    assert all(part.strip() in sources for part in re.split(r"\{(?::said|:word)?\}|[:,] | \(", text))


def test_messages_of_the_system_are_called_as_it_calls_them() -> None:
    if sys.platform == "linux":
        assert KOREAN.keys() >= {os.strerror(number) for number in (errno.ENOENT, errno.EACCES, errno.ENOSPC)}


def test_every_message_is_found_with_whatever_stands_in_its_places(korean: None) -> None:
    for text, message in KOREAN.items():
        places = list(PLACE.finditer(text))
        beside = {place.start() for before, place in pairwise(places) if before.end() == place.start()}
        values = {place[0]: "" if place.start() in beside else f"<{i}:{{{i}}};>" for i, place in enumerate(places)}
        english, korean = (PLACE.sub(lambda place: values[place[0]], each) for each in (text, message.string))  # noqa: B023
        assert said(english) == korean, text


@pytest.mark.parametrize(
    ("english", "told"),
    [
        (
            "data/쌍.tsv:3: 1 column(s) where 2 are expected; write source, one comma, target",
            "data/쌍.tsv:3: 열이 2개여야 하는데 1개입니다. 원문, 구분자(comma) 하나, 목표의 순서로 쓰십시오",
        ),
        (
            "unknown key 'trainig.seed' in the command line; did you mean 'training.seed'?",
            "명령줄: 모르는 키 'trainig.seed'. 혹시 'training.seed'입니까?",
        ),
        (
            "p.tsv: no good line among 3, the first: p.tsv:1: empty line; fill or remove it",
            "p.tsv: 줄 3개가 모두 잘못되었습니다. 첫 번째: p.tsv:1: 빈 줄입니다. 채우거나 지우십시오",
        ),
        (
            "m.py cannot be imported: TypeError: the size of a (3) must be 4, or it has no rows (m.py, line 2)",
            "m.py: 불러오지 못했습니다: TypeError: the size of a (3) must be 4, or it has no rows (m.py, line 2)",
        ),
        ("no; such.tsv: no such file; check the path", "no; such.tsv: 파일이 없습니다. 경로를 확인하십시오"),
        ("my data.tsv: read only; give more text", "my data.tsv: read only; 글을 더 주십시오"),
        (
            "cuda.yaml or the command line: width must be even for sinusoidal positions, got 7",
            "cuda.yaml 또는 명령줄: 사인 함수 위치에서는 width가 짝수여야 합니다. 받은 값: 7",
        ),
        ("what was not foreseen; give more text", "what was not foreseen; 글을 더 주십시오"),
        (
            "none/x.tsv: no such file, and no folder none; check the path",
            "none/x.tsv: 파일이 없습니다. 폴더도 없습니다: none. 경로를 확인하십시오",
        ),
        ("a: b.tsv:3: empty line; fill or remove it", "a: b.tsv:3: 빈 줄입니다. 채우거나 지우십시오"),
        (
            "of no variant: model.reach does nothing here; it is for Transformers",
            "모든 변형: model.reach: 여기에서는 쓰이지 않습니다. 쓰이는 곳: 트랜스포머",
        ),
        (
            "p.csv:1: invalid UTF-8 at byte 1 of the line (0xb0); save the file as UTF-8, in Excel as CSV UTF-8, "
            "or convert it, from Korean Windows with iconv -f CP949 -t UTF-8",
            "p.csv:1: 줄의 1번째 바이트(0xb0)가 UTF-8이 아닙니다. 파일을 UTF-8로(엑셀에서는 CSV UTF-8로) 저장하거나, "
            "한국어 윈도의 파일이면 iconv -f CP949 -t UTF-8로 변환하십시오",
        ),
        ("<stdin>:2: no [MASK] in the text", "<stdin>:2: 글에 [MASK]가 없습니다"),
        ("e.tsv:1: target: empty; fill or remove it", "e.tsv:1: 목표: 비어 있습니다. 채우거나 지우십시오"),
        ("target: empty; fill or remove it", "target: 비어 있습니다. 채우거나 지우십시오"),
        ("p.csv, held out: 1 pairs", "p.csv에서 떼어 둔 부분: 쌍 1개"),
        (
            "p.csv, held out has letters that a model of p.csv cannot know, in the source: 'x'",
            "p.csv에서 떼어 둔 부분: p.csv 데이터로 학습한 모델이 알 수 없는 글자, 원문 쪽: 'x'",
        ),
        (
            "require 'ZZ': the model's vocabulary does not know 'Z' (character 1); "
            "write something else there (and 1 more there)",
            "--require 'ZZ': 모델의 어휘에 없습니다: 'Z' (1번째 글자). 다른 것을 쓰십시오 (그 글에 1개 더 있음)",
        ),
        (
            "a and b have different source vocabularies, so they cannot answer together",
            "a와(과) b은(는) 원문 어휘가 서로 달라 함께 답할 수 없습니다",
        ),
        (
            "x.jsonl:2: not JSON (Expecting value: line 1 column 1 (char 0))",
            "x.jsonl:2: JSON이 아닙니다 (Expecting value: line 1 column 1 (char 0))",
        ),
        (
            "x.yaml:3: not valid YAML: the key 'a' a second time",
            "x.yaml:3: 올바른 YAML이 아닙니다: 키 'a' 하나를 두 번 썼습니다",
        ),
        ("no\nwhere: no such file; copy it again", "no\nwhere: 파일이 없습니다. 다시 복사하십시오"),
        ("train: no such file", "train: 파일이 없습니다"),
        ("of another program; what it says", "of another program; what it says"),
    ],
)
def test_a_finished_sentence_is_told_in_korean_with_its_values(english: str, told: str, korean: None) -> None:
    assert said(english) == told


def test_what_is_confused_is_counted_not_ranked(korean: None) -> None:
    found = [Confusion("-", "", 1998, 1998), Confusion("b", "x", 2, 7), Confusion("", "x", 1, 0)]
    assert said(f"most often confused: {'; '.join(map(str, found))}") == (
        "가장 자주 헷갈린 것: - 빠뜨림 (1,998번 중 1,998번). b 대신 x (7번 중 2번). x 더 넣음 (1번)"
    )


@pytest.mark.parametrize("part", ["a (b of c) is ", "no such file: ", "x: y has no z, got ", "model: a b: "])
def test_a_name_that_looks_like_many_messages_is_told_at_once(part: str, korean: None) -> None:
    for times in (20, 70, 4000):
        assert said(f"{part * times}; copy it again").endswith(
            "; 다시 복사하십시오" if times == 4000 else "복사하십시오"
        )


def test_nothing_changes_in_english() -> None:
    assert said("x.tsv: no such file") == "x.tsv: no such file"


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_korean_to_its_last_sentence(verb: str, attentio: Callable, korean: None) -> None:
    told = attentio(*([verb] if verb else []), "--help").out
    assert told.startswith("사용법: attentio")
    assert "이 도움말을 보여 주고 끝냅니다" in told
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+ [a-z]+", re.sub("attentio .*|`.*`", "", told))


def test_korean_waits_for_nothing_but_the_catalogue() -> None:
    code = "import sys; from attentio.commands.main import main; sys.exit(main(['translate', 'x', '--beam', '0']) - 2)"
    code = code.replace("sys.exit", "assert not {'babel', 'torch', 'rich'} & set(sys.modules); sys.exit")
    environment = {**os.environ, "LANGUAGE": "ko"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert "정수여야 하는데 '0' 값이 왔습니다" in done.stderr.decode()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "꼭 필요한 인자: VERB. attentio --help를 보십시오"),
        (["trian"], "그런 명령은 없습니다: 'trian'. attentio --help를 보십시오. 혹시 'train'입니까?"),
        (["translate", "x", "--beam"], "인자 --beam: 값이 하나 필요합니다. attentio translate --help를 보십시오"),
        (
            ["train", "luong", "--training.seed", "x"],
            "luong.yaml 또는 명령줄: training.seed에 쓸 수 있는 값: 정수 (0 이상 ",
        ),
        (["evaluate", "nowhere"], "nowhere: 그런 실행 폴더는 없습니다"),
    ],
)
def test_a_mistake_is_one_line_of_korean(words: list[str], told: str, attentio: Callable, korean: None) -> None:
    said = attentio(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"attentio: {told}")
    assert said.err.count("\n") == 1


def test_standard_output_of_translate_is_the_same_in_every_language(
    toy, attentio: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}
    for language in ("en", "ko"):
        monkeypatch.setenv("LANGUAGE", language)
        ratio = ("--max-length-ratio", "1e-9")
        told[language] = attentio("translate", toy.run, "--n-best", "2", *ratio, given=b"abcdeabcdeabcde\nab?\n")
    assert told["en"].out == told["ko"].out
    assert "'?' (line 2, character 3): the model does not know it" in told["en"].err
    assert "'?' (2번째 줄, 3번째 글자): 모델이 모릅니다" in told["ko"].err
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", told["ko"].err)


def test_files_that_programs_read_are_the_same_in_every_language(
    toy, tmp_path: Path, attentio: Callable, korean: None
) -> None:
    data = {"data.train": toy.dev, "data.dev": toy.dev, "data.test": "null", "training.max_steps": 2}
    trained = attentio("train", "luong", "--run", tmp_path / "run", *as_arguments(OPTIONS | data))
    measured = attentio("evaluate", tmp_path / "run")
    assert "2번째 스텝에서 마쳤습니다" in trained.err
    assert "자유 디코딩의 품질" in measured.out
    written = [path for path in (tmp_path / "run").rglob("*") if path.suffix in (".csv", ".json", ".yaml", ".md")]
    assert len(written) > 4
    assert not [path for path in written if HANGUL.search(path.read_text(encoding="utf-8"))]
