import json
from pathlib import Path

import pytest
from data_files import message, written
from hypothesis import given
from hypothesis import strategies as st

from attentio.data.pairs import read_pairs
from attentio.data.texts import read_texts


@pytest.mark.parametrize("name", ["d.txt", "d", "d.txt.gz"])
def test_a_line_is_a_document_and_blank_lines_are_none(tmp_path: Path, name: str) -> None:
    spec = written(tmp_path / name, "\ufeff나 는\r\n\n \t \na, b:c\tc ")
    read = read_texts(spec)
    assert (read.name, read.documents, read.skipped) == (spec, ["나 는", "a, b:c\tc"], ())


@pytest.mark.parametrize("name", ["d.txt", "d.txt.gz"])
def test_a_whole_file_is_one_document_with_its_line_breaks(tmp_path: Path, name: str) -> None:
    spec = written(tmp_path / name, "\n첫 줄\r\n\n  second\n")
    assert read_texts(spec, document="file").documents == ["첫 줄\n\n  second"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0<\ufeff"))))
def test_every_document_comes_back(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("texts") / "d.txt"
    spec = written(path, "".join(f"{line}\n" for line in lines))
    expected = [line for line in lines if line.strip()]
    if expected:
        assert read_texts(spec, normalize="none").documents == expected
        assert read_texts(spec, document="file", normalize="none").documents == ["\n".join(lines)]
    else:
        assert "no text, only white space" in message(read_texts, spec) or not lines


@pytest.mark.parametrize("document", ["line", "file"])
@pytest.mark.parametrize("name", ["d.jsonl", "d.json.gz"])
def test_json_lines_are_documents(tmp_path: Path, name: str, document: str) -> None:
    rows = [{"text": "a\nb", "id": 1}, {"text": ""}, {"text": "c"}]
    spec = written(tmp_path / name, "\n".join(map(json.dumps, rows)))
    assert read_texts(spec, document=document).documents == ["a\nb", "c"]  # type: ignore[arg-type]


def test_documents_are_read_without_white_space_around_them_and_composed(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.txt", " \ufeff a  b \n\ufeffe\u0301\n \ufeff \n")
    read = read_texts(spec)
    assert (read.documents, read.trimmed, read.composed) == (["a  b", "é"], 1, 1)
    assert read_texts(spec, document="file").documents == ["a  b \né"]


def test_the_sets_that_come_along_give_their_sources() -> None:
    assert read_texts("dates:test").documents == [pair.source for pair in read_pairs("dates:test").pairs]


def test_a_file_of_an_embedded_name_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("dates:train"), "mine")
    assert read_texts("dates:train").documents == ["mine"]


def test_long_lines_are_text(tmp_path: Path) -> None:
    long = "x" * 1_000_003
    spec = written(tmp_path / "d.txt", long)
    assert read_texts(spec).documents == read_texts(spec, document="file").documents == [long]


BAD = {
    "no UTF-8": (
        b"abc\xff",
        "invalid UTF-8 at byte 4 of the line (0xff); save the file as UTF-8, in Excel as CSV UTF-8, "
        "or convert it, from Korean Windows with iconv -f CP949 -t UTF-8",
    ),
    "a NUL": (b"ab\0", "NUL character at position 3; remove it"),
    "a reserved symbol": (b"b </s>c", "holds the reserved symbol </s>; remove or rewrite it"),
    "a mask": (b"b <mask>", "holds the reserved symbol <mask>; remove or rewrite it"),
}


@pytest.mark.parametrize("document", ["line", "file"])
@pytest.mark.parametrize("what", BAD)
def test_a_bad_line_stops_or_is_skipped_and_said(tmp_path: Path, what: str, document: str) -> None:
    line, problem = BAD[what]
    spec = written(tmp_path / "d.txt", b"good\n" + line + b"\nlast\n")
    assert message(read_texts, spec, document=document) == f"{spec}:2: {problem}"
    read = read_texts(spec, document=document, bad_lines="skip")  # type: ignore[arg-type]
    assert "\n".join(read.documents) == "good\nlast"
    assert read.skipped == (f"{spec}:2: {problem}",)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x", "not JSON ("),
        ("", "empty line; fill"),
        ("[1]", "not a JSON object; write one object a line"),
        ('{"texts": "a"}', 'no "text"; write one object a line, {"text": "..."}'),
        ('{"text": 1}', '"text" is not a string; write'),
        ('{"text": "a\\ud800"}', "half of a surrogate pair at position 2"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    spec = written(tmp_path / "d.jsonl", f'{{"text": "a"}}\n{line}\n{{"text": "b"}}\n')
    assert message(read_texts, spec).startswith(f"{spec}:2: {problem}")
    assert read_texts(spec, bad_lines="skip").documents == ["a", "b"]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.txt", " \n\n")
    for document in ("line", "file"):
        assert message(read_texts, spec, document=document).startswith(
            f"{spec}: no text, only white space; give a file"
        )
    spec = written(tmp_path / "d.txt", "<s>\n\n<pad>\n")
    assert message(read_texts, spec, bad_lines="skip").startswith(
        f"{spec}: no good line among 2, the first: {spec}:1: holds"
    )
    assert message(read_texts, written(tmp_path / "empty", "")).endswith(
        "the file is empty; give a file with at least one line"
    )
    assert "no such file; did you mean" in message(read_texts, f"{tmp_path}/emty")
    assert message(read_texts, "date:train") == "date:train: no such data set; did you mean 'dates:train'?"
    assert message(read_texts, "hub:name:") == "hub:name:: write hub:NAME:SPLIT, such as hub:NAME:train"


def test_hub_texts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    (tmp_path / "set").mkdir()
    written(tmp_path / "set" / "train.jsonl", '{"text": "a b"}\n{"text": ""}\n{"text": "c"}\n{"text": null}\n')
    spec = f"hub:{tmp_path}/set:train"
    assert message(read_texts, spec) == f'{spec}:4: "text" is not a string; it needs the column "text"'
    assert read_texts(spec, bad_lines="skip").documents == ["a b", "c"]
