"""What separates the columns of people's files, what is quoted, and which first rows are headings."""

import gzip
import unicodedata
from pathlib import Path

import pytest
from data_files import message, written

from attentio.data.pairs import Pair, read_pairs
from attentio.errors import AttentioError

PAIRS = [Pair("안녕, 세상", 'hello; "world"'), Pair("a", "b")]
COMMAS = '"안녕, 세상","hello; ""world"""\na,b\n'
SEMICOLONS = '안녕, 세상;"hello; ""world"""\r\na;b\r\n'
TABS = '안녕, 세상\thello; "world"\na\tb\n'


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", ["d.csv", "D.CSV", "d.csv.gz"])
@pytest.mark.parametrize("content", [COMMAS, SEMICOLONS, TABS], ids=["commas", "semicolons", "tabs"])
def test_a_csv_file_shows_what_separates_it(tmp_path: Path, content: str, name: str, mark: str) -> None:
    assert read_pairs(written(tmp_path / name, mark + content)).pairs == PAIRS


@pytest.mark.parametrize(
    ("content", "separator"),
    [(COMMAS, "comma"), (COMMAS, ","), (SEMICOLONS, "semicolon"), (SEMICOLONS, ";"), (TABS, "tab"), (TABS, "auto")],
)
@pytest.mark.parametrize("name", ["d.txt", "d.csv", "d"])
def test_the_separator_may_be_said(tmp_path: Path, content: str, separator: str, name: str) -> None:
    assert read_pairs(written(tmp_path / name, content), separator=separator).pairs == PAIRS


def test_between_tabs_a_quote_is_a_letter(tmp_path: Path) -> None:
    for name, separator in (("d.tsv", "auto"), ("d.txt", "tab"), ("d.csv", "tab")):
        spec = written(tmp_path / name, '"No," he\tsaid"\n"a"\tb\n')
        assert read_pairs(spec, separator=separator).pairs == [Pair('"No," he', 'said"'), Pair('"a"', "b")]
    assert read_pairs(written(tmp_path / "d.csv", '"a\tb"\tc\n')).pairs == [Pair("a\tb", "c")]


def test_the_line_with_which_excel_names_the_separator_is_no_pair(tmp_path: Path) -> None:
    assert read_pairs(written(tmp_path / "d.csv", "sep=;\r\na,b;c\r\n")).pairs == [Pair("a,b", "c")]
    assert read_pairs(written(tmp_path / "d.csv", "SEP=|\na|c\n")).pairs == [Pair("a", "c")]
    assert read_pairs(written(tmp_path / "d.csv", "sep=\t\na\tc\n")).pairs == [Pair("a", "c")]
    assert read_pairs(written(tmp_path / "d.txt", "sep=,x\na,b"), separator=",").pairs == [
        Pair("sep=", "x"),
        Pair("a", "b"),
    ]


def test_a_quoted_text_may_have_lines_and_rows_stand_where_they_begin(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", 'a,"b\n\nc"\nd,e\nf\n')
    assert message(read_pairs, spec) == (f"{spec}:5: 1 column(s) where 2 are expected; write source, one comma, target")
    assert read_pairs(spec, bad_lines="skip").pairs == [Pair("a", "b\n\nc"), Pair("d", "e")]


BAD = {
    "three": (
        b"a,b,c",
        'write source, one comma, target, no other columns, and "quotes" around a text that holds a comma',
    ),
    "one": (b"a", "1 column(s) where 2 are expected; write source, one comma, target"),
    "another separator": (b"a;b", "one comma, target, or say what separates them, such as --data.separator semicolon"),
    "nothing": (b"", "empty line; fill or remove it"),
    "white space": (b" , ", "empty line; fill or remove it"),
    "an empty side": (b'"",a', "source: empty; fill or remove it"),
    "after a quote": (b'"a" b,c', "a text in quotes goes on after its closing quote; put quotes around a whole text"),
    "no UTF-8": (b"a,\xff", "invalid UTF-8 at byte 3 of the line (0xff); save the file as UTF-8"),
    "a carriage return": (b"a\rb,c", "a carriage return within the line; remove it"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_row_stops_or_is_skipped_and_said(tmp_path: Path, what: str) -> None:
    line, problem = BAD[what]
    spec = written(tmp_path / "d.csv", b"good,one\n" * 3 + line + b"\nlast,one\n")
    if what == "no UTF-8":
        assert problem in message(read_pairs, spec)
    said = message(read_pairs, spec, separator="comma")
    assert said.startswith(f"{spec}:4: ")
    assert problem in said
    read = read_pairs(spec, separator="comma", bad_lines="skip")
    assert read.pairs == [Pair("good", "one")] * 3 + [Pair("last", "one")]
    assert read.skipped == (said,)


def test_lines_are_counted_right_after_bad_ones(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", b'a,b\nc\xff,d\n"e\ne",f\ng\xff,h\ni\n')
    assert [told.partition(": ")[0] for told in read_pairs(spec, bad_lines="skip").skipped] == [
        f"{spec}:{number}" for number in (2, 5, 6)
    ]


def test_a_line_that_cannot_be_decoded_takes_the_whole_row_with_it(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", b'a,b\n"c\n\xff\nx,y\nd",e\nf,g\n')
    assert message(read_pairs, spec).startswith(f"{spec}:3: invalid UTF-8 at byte 1 of the line")
    assert read_pairs(spec, bad_lines="skip").pairs == [Pair("a", "b"), Pair("f", "g")]


def test_a_quote_that_is_never_closed_is_named_even_when_skipping(tmp_path: Path) -> None:
    for length in (3, 100_000):
        spec = written(tmp_path / "d.csv", 'a,b\nc,"d\n' + "e,f\n" * length)
        for bad_lines in ("stop", "skip"):
            assert message(read_pairs, spec, bad_lines=bad_lines).startswith(
                f"{spec}:2: a text in quotes begins here and never ends"
            )


def test_what_separates_must_be_clear(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", "a,b;c\nd,e;f\n")
    assert (
        message(read_pairs, spec)
        == f"{spec}: comma and semicolon make two columns; say which, such as --data.separator comma"
    )
    spec = written(tmp_path / "d.csv", "Q,A,label\n가,나;다,0\n")
    assert message(read_pairs, spec).startswith(
        f"{spec}:1: 3 column(s) where 2 are expected; write source, one comma, target"
    )
    spec = written(tmp_path / "d.tsv", "a,b\n")
    assert message(read_pairs, spec).endswith(
        "write source, one tab, target, or say what separates them, such as --data.separator comma"
    )


@pytest.mark.parametrize("name", ["d.tsv", "d.csv", "d.jsonl", "d.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, name: str, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    spec = written(tmp_path / name, f"{mark}가,나\n가\t나\n".encode(encoding))
    told = f"{spec}:1: UTF-16, not UTF-8; save the file as UTF-8, in Excel as CSV UTF-8"
    assert message(read_pairs, spec) == told
    assert told in message(read_pairs, spec, bad_lines="skip")


def test_cp949_is_told_what_to_do(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", "a,나\n가,b\n".encode("cp949"))
    told = f"{spec}:1: invalid UTF-8 at byte 3 of the line (0xb3); save the file as UTF-8, in Excel as CSV UTF-8, "
    assert message(read_pairs, spec) == f"{told}or convert it, from Korean Windows with iconv -f CP949 -t UTF-8"


def test_utf_16_without_a_mark_and_workbooks_are_named(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.tsv", "a\tb\n".encode("utf-16-le"))
    assert message(read_pairs, spec).startswith(f"{spec}:1: UTF-16, not UTF-8; save")
    spec = written(tmp_path / "d.xlsx", b"PK\x03\x04\x14\0\xff\n")
    assert (
        message(read_pairs, spec)
        == f"{spec}:1: an Excel workbook or another zip archive, no text; save it as CSV UTF-8"
    )


HEADINGS = [
    "source\ttarget",
    "Word\tPronunciation",
    " src_text \tTGT-TEXT",
    "질문\t답변",
    "한국어\tEnglish",
    "ko\ten",
    "Q\tA",
]


@pytest.mark.parametrize("line", HEADINGS)
def test_well_known_headings_are_left_out_and_told(tmp_path: Path, line: str) -> None:
    spec = written(tmp_path / "d.tsv", f"{line}\na\tb\n")
    read = read_pairs(spec)
    assert read.pairs == [Pair("a", "b")]
    source, target = line.strip().split("\t")
    told = f"{spec}:1: {source.strip()!r} and {target!r} are headings and left out; --data.header false keeps them"
    assert read.header == told
    kept = read_pairs(spec, header=False)
    assert (len(kept.pairs), kept.header) == (2, None)


@pytest.mark.parametrize(
    "line", ["a\tb", "word\tW ER D", "the source\tdas Ziel", "word\tword", "target\t42", "x\ttarget"]
)
def test_other_first_rows_are_pairs(tmp_path: Path, line: str) -> None:
    read = read_pairs(written(tmp_path / "d.tsv", f"{line}\na\tb\n"))
    assert (len(read.pairs), read.header) == (2, None)


def test_headings_of_other_files_are_left_out(tmp_path: Path) -> None:
    assert read_pairs(written(tmp_path / "d.csv", '"Source","Target"\n"a","b"\n')).pairs == [Pair("a", "b")]
    source, target = written(tmp_path / "s", "english\na\n"), written(tmp_path / "t", "german\nb\n")
    assert read_pairs(f"{source},{target}").pairs == [Pair("a", "b")]
    spec = written(tmp_path / "d.jsonl", '{"source": "source", "target": "target"}\n')
    for header in ("auto", True):
        assert read_pairs(spec, header=header).pairs == [Pair("source", "target")]  # type: ignore[arg-type]


def test_a_first_row_is_left_out_where_that_is_said(tmp_path: Path) -> None:
    for line in ("x\ty", "a bad line"):
        spec = written(tmp_path / "d.tsv", f"{line}\na\tb\n")
        read = read_pairs(spec, header=True)
        assert (read.pairs, read.header) == ([Pair("a", "b")], f"{spec}:1: left out as the header")
    assert message(read_pairs, written(tmp_path / "d.tsv", "x\ty\n"), header=True).endswith(
        ":1: left out as the header; nothing else is there"
    )


def test_a_first_row_in_letters_of_its_own_is_told_and_kept(tmp_path: Path) -> None:
    rows = "".join(f"가{i}\tga {i}\n" for i in range(20))
    spec = written(tmp_path / "d.tsv", f"Hangeul\tRoman\n{rows}")
    read = read_pairs(spec)
    assert len(read.pairs) == 21
    assert read.header is not None
    assert "'Hangeul' and 'Roman', the first row, may be headings" in read.header
    assert read.header.endswith("--data.header true leaves them out")
    assert read_pairs(spec, header=False).header is None
    assert read_pairs(written(tmp_path / "d.tsv", f"{rows}Hangeul\tRoman\n")).header is None
    assert read_pairs(written(tmp_path / "d.tsv", f"Hangeul\tRoman\nabc\tabc\n{rows}")).header is None


TABLE = [["id", "Word", "lang", "Sounds"], ["1", "가, 나", "ko", "K A"], ["2", "b", "en", "B IY"]]
WANTED = [Pair("가, 나", "K A"), Pair("b", "B IY")]


@pytest.mark.parametrize("columns", [["Word", "Sounds"], ["2", "4"], ["Word", "4"], ["2", "Sounds"]], ids=str)
@pytest.mark.parametrize(("name", "separator"), [("d.csv", ","), ("d.csv", ";"), ("d.csv.gz", "\t"), ("d.tsv", "\t")])
def test_two_columns_of_a_table_can_be_chosen(tmp_path: Path, columns: list, name: str, separator: str) -> None:
    rows = [separator.join(f'"{text}"' if separator in text else text for text in row) for row in TABLE]
    spec = written(tmp_path / name, "\ufeff" + "\r\n".join(rows))
    read = read_pairs(spec, columns=columns, header="auto" if "Word" in columns or "Sounds" in columns else True)
    assert read.pairs == WANTED
    turned = read_pairs(spec, columns=columns[::-1], header=True)
    assert turned.pairs == [Pair(target, source) for source, target in WANTED]


def test_columns_without_a_header_have_numbers(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.tsv", "a\tx\tb\nc\td\te\tf\n")
    assert read_pairs(spec, columns=["1", "3"]).pairs == [Pair("a", "b"), Pair("c", "e")]


def test_names_are_compared_as_people_see_them(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", f"{unicodedata.normalize('NFD', '낱말')} ,n, 발음\n국물,1,궁물\n")
    assert read_pairs(spec, columns=["낱말", "발음"]).pairs == [Pair("국물", "궁물")]


@pytest.mark.parametrize(
    ("content", "columns", "told"),
    [
        (
            "Word,n,Sounds\na,1,b\n",
            ["word", "Sounds"],
            "1: no column is called 'word'; there are 'Word', 'n', 'Sounds'",
        ),
        ("w,w,s\na,1,b\n", ["w", "s"], "1: 2 columns are called 'w'; give their numbers"),
        ("w,s\na,b\nc\n", ["w", "s"], "3: 1 column(s), and data.columns asks for column 2; fill or remove it"),
        ("a,b\n", ["1", "3"], "1: 2 column(s), and data.columns asks for column 3; fill or remove it"),
        ("w,s\n", ["w", "s"], " the data set is empty"),
        ("a,b\n", ["0", "1"], "1: there is no column 0; they are numbered from 1"),
        ("a,b\n", ["1", "00"], "1: there is no column 00; they are numbered from 1"),
        ("a,b,c\n", None, "1: 3 column(s) where 2 are expected; write source, one comma, target, no other columns"),
    ],
    ids=range(8),
)
def test_columns_that_are_not_there_are_told(tmp_path: Path, content: str, columns: list | None, told: str) -> None:
    spec = written(tmp_path / "d.csv", content)
    assert message(read_pairs, spec, columns=columns).startswith(f"{spec}:{told}")


def test_a_table_of_more_columns_is_told_how_to_choose(tmp_path: Path) -> None:
    choose = "; or say which two of these, such as --data.columns 1,3"
    for name in ("d.csv", "d.tsv"):
        content = "a,b,c\nd,e,f\n".replace(",", "\t" if name == "d.tsv" else ",")
        assert message(read_pairs, written(tmp_path / name, content)).endswith(choose)
        stray = written(tmp_path / name, "a\tb\nc\td\te\n")
        assert not message(read_pairs, stray).endswith(choose), "a stray row is no table"


def test_rows_without_the_columns_can_be_skipped(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.tsv", "w\tn\ts\na\t1\tb\nc\n\nd\t2\te\n")
    read = read_pairs(spec, columns=["w", "s"], bad_lines="skip")
    assert read.pairs == [Pair("a", "b"), Pair("d", "e")]
    assert [line.partition(": ")[0] for line in read.skipped] == [f"{spec}:3", f"{spec}:4"]


@pytest.mark.parametrize("first", [b"\n", b"\xff,a,b\n"])
def test_a_bad_first_line_is_skipped_where_columns_have_numbers(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(first + b"1,abc,x\n2,bcd,y\n")
    found = read_pairs(str(tmp_path / "a.csv"), columns=["2", "3"], bad_lines="skip")
    assert [*found.pairs] == [("abc", "x"), ("bcd", "y")]
    assert len(found.skipped) == 1


def test_names_of_files_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.JSONL").write_text('{"source": "a", "target": "b"}\n')
    assert [*read_pairs(str(tmp_path / "A.JSONL")).pairs] == [("a", "b")]
    (tmp_path / "A.TSV.GZ").write_bytes(gzip.compress(b"a\tb\n"))
    assert [*read_pairs(str(tmp_path / "A.TSV.GZ")).pairs] == [("a", "b")]
    (tmp_path / "a.tsv").write_bytes(gzip.compress(b"a\tb\n"))
    with pytest.raises(AttentioError, match=r"a.tsv:1: compressed by gzip, and the name does not end in .gz"):
        read_pairs(str(tmp_path / "a.tsv"))


def test_the_columns_of_json_are_called_by_name(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.jsonl", '{"w": "a", "n": 1, "s": "b"}\n')
    assert read_pairs(spec, columns=["w", "s"]).pairs == [Pair("a", "b")]
    assert message(read_pairs, spec, columns=["w", "n"]).startswith(f'{spec}:1: "n" is not a string')
    assert message(read_pairs, spec, columns=["1", "3"]) == (
        f"{spec}:1: its columns have names, not numbers; give those as data.columns"
    )


def test_a_text_too_long_for_a_table_can_be_skipped(tmp_path: Path) -> None:
    spec = written(tmp_path / "d.csv", f"a,b\n{'c' * 200_000},d\ne,f\n")
    assert message(read_pairs, spec).startswith(f"{spec}:2: a text of more than 131,072 letters")
    assert read_pairs(spec, bad_lines="skip").pairs == [Pair("a", "b"), Pair("e", "f")]
