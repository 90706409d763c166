import gzip
import io
import json
import re
from pathlib import Path

import pytest
from data_files import message, written
from hypothesis import given
from hypothesis import strategies as st

from attentio.data.lines import read_sources
from attentio.data.pairs import Example, Pair, group_references, read_pairs
from attentio.errors import AttentioError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


PAIRS = [Pair("나 는", "I am"), Pair("a", "b c")]


@pytest.mark.parametrize("name", ["d.tsv", "d.txt", "d", "d.tsv.gz"])
def test_tab_separated_pairs_are_read(folder: Path, name: str) -> None:
    spec = written(folder / name, "나 는\tI am\na\tb c\n")
    read = read_pairs(spec)
    assert (read.name, read.pairs, read.skipped) == (spec, PAIRS, ())


@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.jsonl.gz"])
def test_json_lines_are_read(folder: Path, name: str) -> None:
    lines = [json.dumps({"target": pair.target, "id": 7, "source": pair.source}) for pair in PAIRS]
    assert read_pairs(written(folder / name, "\n".join(lines))).pairs == PAIRS


@pytest.mark.parametrize("end", ["", ".gz"])
def test_parallel_files_are_read(folder: Path, end: str) -> None:
    source = written(folder / f"d.ko{end}", "나 는\na\n")
    target = written(folder / "d.en", "I am\nb c")
    assert read_pairs(f"{source},{target}").pairs == PAIRS


def test_a_file_name_may_hold_a_comma(folder: Path) -> None:
    assert read_pairs(written(folder / "a,b.tsv", "a\tb")).pairs == [Pair("a", "b")]


@pytest.mark.parametrize("spec", ["cmudict:dev", "dates:test"])
def test_the_sets_that_come_along_are_read(spec: str) -> None:
    read = read_pairs(spec)
    assert read.name == spec
    assert len(read.pairs) >= 1_000


JOINED = "\ufeff a\u2028\x85\u0301\t b \r\nc\x0b\x1e\td\u2029\n\ufeff\ufeffe\u0301\tf\rg\n"


def test_text_stays_as_it_is_where_it_is_not_normalized(folder: Path) -> None:
    read = read_pairs(written(folder / "d.tsv", JOINED), normalize="none")
    assert read.pairs == [
        Pair(" a\u2028\x85\u0301", " b "),
        Pair("c\x0b\x1e", "d\u2029"),
        Pair("e\u0301", "f\rg"),
    ]
    assert (read.trimmed, read.composed) == (4, 1)


def test_text_is_read_without_white_space_around_it_and_composed(folder: Path) -> None:
    read = read_pairs(written(folder / "d.tsv", JOINED))
    assert read.pairs == [Pair("a\u2028\x85\u0301", "b"), Pair("c", "d"), Pair("é", "f\rg")]
    assert (read.trimmed, read.composed) == (4, 1)
    source, target = written(folder / "s", "\u3000가\n"), written(folder / "t", " b\ufeff")
    assert read_pairs(f"{source},{target}").pairs == [Pair("가", "b")]
    spec = written(folder / "d.jsonl", '\ufeff{"source": " a\\ufeff ", "target": "e\\u0301\\n"}\n')
    assert read_pairs(spec).pairs == [Pair("a", "é")]


@pytest.mark.parametrize("text", ["\ufeff", " \ufeff\u3000"])
def test_nothing_but_what_is_trimmed_is_empty(folder: Path, text: str) -> None:
    spec = written(folder / "d.tsv", f"a\tb\nc\t{text}\n")
    for how in ("nfc", "none"):
        assert message(read_pairs, spec, normalize=how) == f"{spec}:2: target: empty; fill or remove it"


def test_a_missing_file_suggests_the_nearest(folder: Path) -> None:
    written(folder / "train.tsv", "a\tb")
    assert message(read_pairs, f"{folder}/trian.tsv") == (
        f"{folder}/trian.tsv: no such file; did you mean 'train.tsv'?"
    )
    (folder / "pairs").mkdir()
    assert message(read_pairs, f"{folder}/pair").endswith("pair: no such file; check the path"), "a folder is none"
    assert message(read_pairs, f"{folder}/zzz").endswith("zzz: no such file; check the path")
    assert message(read_pairs, f"{folder}/no/x.tsv").endswith(
        f"no such file, and no folder {folder}/no; check the path"
    )
    assert "trian.tsv: no such file" in message(read_pairs, f"{folder}/train.tsv,{folder}/trian.tsv")


def test_a_folder_is_no_file(folder: Path) -> None:
    assert message(read_pairs, str(folder)) == f"{folder}: cannot be read: Is a directory; give a file you may read"


@pytest.mark.parametrize("name", ["d.tsv", "d.jsonl", "d.tsv.gz"])
def test_an_empty_file_is_named_even_when_skipping(folder: Path, name: str) -> None:
    spec = written(folder / name, "")
    assert message(read_pairs, spec, bad_lines="skip").startswith(f"{spec}: the file is empty")


def test_unequal_parallel_files_name_both_counts_even_when_skipping(folder: Path) -> None:
    three, five = written(folder / "three", "a\nb\nc\n"), written(folder / "five", "a\nb\nc\nd\ne\n")
    for spec, begin in (
        (f"{three},{five}", f"{three} has 3 lines and {five} has 5"),
        (f"{five},{three}", f"{five} has 5 lines and {three} has 3"),
    ):
        assert message(read_pairs, spec, bad_lines="skip").startswith(begin)


BAD = {
    "an empty line": (b"", "empty line; fill or remove it"),
    "white space": (b" \t ", "empty line; fill or remove it"),
    "an empty source": (b"\tb", "source: empty; fill or remove it"),
    "an empty target": (b"a\t ", "target: empty; fill or remove it"),
    "one column": (b"a b", "1 column(s) where 2 are expected; write source, one tab, target"),
    "three columns": (b"a\tb\tc", "3 column(s) where 2 are expected; write source, one tab, target"),
    "no UTF-8": (
        b"abc\t\xff",
        "invalid UTF-8 at byte 5 of the line (0xff); save the file as UTF-8, in Excel as CSV UTF-8, "
        "or convert it, from Korean Windows with iconv -f CP949 -t UTF-8",
    ),
    "a NUL": (b"ab\0\tc", "source: NUL character at position 3; remove it"),
    "a long side": (b"a\t" + b"b" * 41, "target: 41 characters, more than the limit of 40; split or remove it"),
    "a reserved symbol": (b"a\tb <s>c", "target: holds the reserved symbol <s>; remove or rewrite it"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_line_stops_or_is_skipped_and_said(folder: Path, what: str) -> None:
    line, problem = BAD[what]
    spec = written(folder / "d.tsv", b"good\tone\n" + line + b"\nlast\tone\n")
    assert message(read_pairs, spec, max_line_length=40) == f"{spec}:2: {problem}"
    read = read_pairs(spec, bad_lines="skip", max_line_length=40)
    assert read.pairs == [Pair("good", "one"), Pair("last", "one")]
    assert read.skipped == (f"{spec}:2: {problem}",)


BAD_JSON = {
    "": "empty line; fill",
    '{"source": "a"': "not JSON (",
    "[" * 100_000: "not JSON (",
    '["a", "b"]': "not a JSON object; write one object a line",
    '{"source": "a"}': 'no "target"; write one object a line',
    '{"source": 1, "target": "b"}': '"source" is not a string; write',
    '{"source": "", "target": "b"}': "source: empty; fill or remove it",
    '{"source": "\\u0000", "target": "b"}': "source: NUL character at position 1",
    '{"source": "a", "target": "b\\ud800"}': "target: half of a surrogate pair at position 2",
}


@pytest.mark.parametrize("line", BAD_JSON, ids=range(len(BAD_JSON)))
def test_a_bad_json_line_is_named(folder: Path, line: str) -> None:
    good = '{"source": "a", "target": "b"}'
    spec = written(folder / "d.jsonl", f"{good}\n{line}\n{good}\n")
    assert message(read_pairs, spec).startswith(f"{spec}:2: {BAD_JSON[line]}")
    assert len(read_pairs(spec, bad_lines="skip").pairs) == 2


def test_a_bad_parallel_line_names_its_file_and_keeps_the_others_aligned(folder: Path) -> None:
    source, target = written(folder / "s", b"a\n\nc\nd\n"), written(folder / "t", b"A\nB\n\xc3\nD\n")
    assert message(read_pairs, f"{source},{target}") == f"{source}:2: empty; fill or remove it"
    read = read_pairs(f"{source},{target}", bad_lines="skip")
    assert read.pairs == [Pair("a", "A"), Pair("d", "D")]
    assert [line.split(": ")[0] for line in read.skipped] == [f"{source}:2", f"{target}:3"]


def test_a_file_of_bad_lines_alone_is_an_error(folder: Path) -> None:
    spec = written(folder / "d.tsv", "a b\nc d\n")
    assert message(read_pairs, spec, bad_lines="skip") == (
        f"{spec}: no good line among 2, the first: {spec}:1: 1 column(s) where 2 are expected; "
        f"write source, one tab, target"
    )


def test_damaged_gzip_is_named_with_its_line(folder: Path) -> None:
    lines = "".join(f"source {i * 7919}\ttarget {i * 104729}\n" for i in range(5_000))
    whole = gzip.compress(lines.encode())
    cut = folder / "cut.tsv.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    assert re.match(
        rf"{cut}:[1-9]\d+: corrupt gzip data \(.*\); copy or compress it again", message(read_pairs, str(cut))
    )
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # the checksum
    cut.write_bytes(bytes(flipped))
    assert "corrupt gzip data" in message(read_pairs, str(cut), bad_lines="skip")
    cut.write_bytes(b"a\tb\n")
    assert message(read_pairs, str(cut)).startswith(f"{cut}:1: corrupt gzip data (Not a gzipped file")


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("cmudit:train", "cmudict:train"),
        ("cmudict:trian", "cmudict:train"),
        ("cmudict", "cmudict:test"),
        ("date:dev", "dates:dev"),
        ("dates:", "dates:"),
    ],
)
def test_an_unknown_set_suggests_the_nearest(spec: str, near: str, folder: Path) -> None:
    said = message(read_pairs, spec)
    assert said.startswith(f"{spec}: no such data set; did you mean ")
    assert near.split(":")[0] in said
    assert "xyzzy:q: no such data set; there are cmudict:train, cmudict:dev" in message(read_pairs, "xyzzy:q")


@pytest.mark.parametrize("spec", ["hub:", "hub:name", "hub::train", "hub:name:"])
def test_a_hub_set_needs_name_and_split(spec: str) -> None:
    assert message(read_pairs, spec) == f"{spec}: write hub:NAME:SPLIT, such as hub:NAME:train"


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local folder that the `datasets` library reads, with its cache beside it."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache"))
    datasets.disable_progress_bars()
    (folder / "set").mkdir()
    return folder / "set"


def test_hub_columns_are_read(hub: Path) -> None:
    rows = [{"source": pair.source, "target": pair.target} for pair in PAIRS]
    written(hub / "train.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_pairs(f"hub:{hub}:train").pairs == PAIRS


def test_hub_translations_are_read_in_the_order_of_their_languages(hub: Path) -> None:
    rows = [{"translation": {"ko": pair.source, "en": pair.target}} for pair in PAIRS]
    written(hub / "train.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_pairs(f"hub:{hub}:train").pairs == PAIRS


def test_bad_hub_rows_are_named(hub: Path) -> None:
    written(hub / "train.jsonl", '{"source": "a", "target": "b"}\n{"source": "a", "target": null}\n')
    spec = f"hub:{hub}:train"
    assert message(read_pairs, spec).startswith(f'{spec}:2: "target" is not a string; it needs the columns')
    assert len(read_pairs(spec, bad_lines="skip").pairs) == 1
    assert message(read_pairs, f"hub:{hub}:nowhere").startswith(f"hub:{hub}:nowhere: cannot be loaded (")


def test_hub_translations_have_two_languages(hub: Path) -> None:
    written(hub / "train.jsonl", '{"translation": {"de": "a", "en": "b", "fr": "c"}}\n')
    assert ':train:1: 3 languages in "translation"; it needs' in message(read_pairs, f"hub:{hub}:train")


def test_references_of_a_source_are_grouped_in_first_seen_order() -> None:
    pairs = [Pair("b", "1"), Pair("a", "2"), Pair("b", "3"), Pair("b", "1")]
    assert group_references(pairs) == [Example("b", ("1", "3")), Example("a", ("2",))]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0<\ufeff"))))
def test_sources_come_one_a_line_with_their_numbers(lines: list[str]) -> None:
    stream = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    expected = [(n, line if line.strip() else "") for n, line in enumerate(lines, start=1)]
    assert list(read_sources(stream, "<stdin>")) == expected


def test_a_bad_source_stops_with_stream_and_line() -> None:
    sources = read_sources(io.BytesIO(b"\xef\xbb\xbfa\r\n\nb <unk>\n"), "<stdin>")
    assert [next(sources), next(sources)] == [(1, "a"), (2, "")]
    with pytest.raises(AttentioError, match=r"^<stdin>:3: holds the reserved symbol <unk>; remove or rewrite"):
        next(sources)


def test_a_skipped_source_stays_a_line_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.BytesIO(b"a\n\xff\n" + b"x" * 6 + b"\nb")
    read = list(read_sources(stream, "in.txt", bad_lines="skip", max_line_length=5))
    assert read == [(1, "a"), (2, ""), (3, ""), (4, "b")]
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "skipped in.txt:2",
        "skipped in.txt:3",
    ]
