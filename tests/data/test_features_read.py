"""Features of sources read from columns, fields, files and tags, and what is told where they are missing."""

from pathlib import Path

import pytest

from attentio.config.read import load_config
from attentio.data.pairs import Pair, read_pairs
from attentio.data.part import read_part, read_parts
from attentio.data.survey import survey
from attentio.errors import AttentioError

READ = [Pair("walk\tV;PST", "walked"), Pair("go\tV", "go")]


@pytest.mark.parametrize(
    ("name", "content", "columns", "features"),
    [
        ("a.tsv", "walk\twalked\tV;PST\ngo\tgo\tV\n", None, "3"),
        ("a.tsv", "V; PST\twalk\twalked\nV\tgo\tgo\n", None, "1"),
        ("a.tsv", "walk\t V;PST;\twalked\ngo\tV\tgo\n", None, "2"),
        ("a.csv", "id,form,lemma,tags\n1,walked,walk,V;PST\n2,go,go,V\n", ["lemma", "form"], "tags"),
        ("a.csv", "target,tags,source\nwalked,V;PST,walk\ngo,V,go\n", None, "tags"),
        ("a.tsv", "lemma\ttags\tform\nwalk\tV;PST\twalked\ngo\tV\tgo\n", None, "tags"),
        ("a.csv", '"walk","walked","V;PST"\n"go","go","V"\n', None, "3"),
        ("a.tsv", "lemma\tform\tfeatures\nwalk\twalked\tV;PST\ngo\tgo\tV\n", None, "3"),
        (
            "a.jsonl",
            '{"source": "walk", "target": "walked", "f": "V;PST"}\n{"source": "go", "target": "go", "f": "V"}\n',
            None,
            "f",
        ),
    ],
)
def test_a_column_has_the_features(
    name: str, content: str, columns: list[str] | None, features: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    assert [*read_pairs(str(tmp_path / name), columns=columns, features=features).pairs] == READ


def test_beside_two_files_a_third_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, lines in {"s": "walk\ngo\n", "t": "walked\ngo\n", "f": "V;PST\nV\n", "short": "V\n"}.items():
        Path(name).write_text(lines)
    assert [*read_pairs("s,t,f", features="3").pairs] == READ
    with pytest.raises(AttentioError, match="s has 2 lines and short has 1"):
        read_pairs("s,t,short", features="3")
    with pytest.raises(AttentioError, match=r"data\.features asks for a third"):
        read_pairs("s,t", features="3")


def test_fields_of_json_have_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"source": "walk", "target": "walked", "f": "V;PST"}\n')
    with pytest.raises(AttentioError, match=r"a\.jsonl:1: its columns have names.* as data\.features"):
        read_pairs(str(tmp_path / "a.jsonl"), features="3")


def test_each_file_may_have_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("de.tsv").write_text("ja\tyes\n")
    Path("a+fr.tsv").write_text("oui\tyes\n")
    assert [*read_pairs("de=de.tsv+fr=a+fr.tsv").pairs] == [Pair("ja\tde", "yes"), Pair("oui\tfr", "yes")]
    Path("de.tsv").write_text("ja\tyes\tX\n")
    assert [*read_pairs("de=de.tsv", features="3").pairs] == [Pair("ja\tX;de", "yes")]
    with pytest.raises(AttentioError, match=r"X=de\.tsv: 'ja': the feature 'X' is there twice"):
        read_pairs("X=de.tsv", features="3")
    Path("de=de.tsv").write_text("nein\tno\n")
    assert [*read_pairs("de=de.tsv").pairs] == [Pair("nein", "no")], "a file of that name is itself"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("de=", "is no TAG=FILE"),
        ("de=de.tsv+fr=", "'fr=' is no TAG=FILE"),
        ("de=a+de=b", "the tag de is there twice"),
        ("de=none.tsv", "none.tsv: no such file"),
    ],
)
def test_a_tag_without_a_file_is_refused(spec: str, error: str) -> None:
    with pytest.raises(AttentioError, match=error):
        read_pairs(spec)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("go\tgo", r"a\.tsv:2: 2 column\(s\), and data.features asks for column 3; fill or remove it"),
        ("go\tgo\t ", r"a\.tsv:2: features: empty"),
        ("go\tgo\t;;", r"a\.tsv:2: features: empty"),
        ("go\tgo\t<pad>", r"a\.tsv:2: features: holds the reserved symbol <pad>"),
        ("go\tgo\tV;PST; V", r"a\.tsv:2: features: the feature 'V' is there twice; leave one"),
        ("go", r"a\.tsv:2: 1 column\(s\), and data.columns asks for column 3"),
    ],
)
def test_a_row_without_features_is_told_with_its_line(line: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(f"walk\twalked\tV;PST\n{line}\n")
    with pytest.raises(AttentioError, match=error):
        read_pairs(str(tmp_path / "a.tsv"), features="3")
    skipped = read_pairs(str(tmp_path / "a.tsv"), features="3", bad_lines="skip")
    assert ([*skipped.pairs], len(skipped.skipped)) == (READ[:1], 1)


def test_embedded_data_have_tags_and_no_features() -> None:
    with pytest.raises(AttentioError, match=r"dates:dev has no features; leave data\.features out"):
        read_pairs("dates:dev", features="3")
    assert read_pairs("x=dates:dev").pairs[0].source.endswith("\tx")


def test_all_parts_have_tags_or_none(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("ja\tyes\n")
    file = tmp_path / "a.tsv"
    config = load_config("luong", [f"--data.train=de={file}", f"--data.dev={file}"])
    with pytest.raises(AttentioError, match=f"de={file} has tags, and {file} has none"):
        read_parts(config)
    with pytest.raises(AttentioError, match=r"tags are for model\.type encoder-decoder"):
        read_part(load_config("classifier", [f"--data.train=de={file}"]), f"de={file}")


def test_a_column_is_either_text_or_features() -> None:
    with pytest.raises(AttentioError, match=r"data\.features is 1, which data\.columns has too"):
        load_config("luong", ["--data.features=1", "--data.columns=1,2"])
    with pytest.raises(AttentioError, match=r"data\.features does nothing here"):
        load_config("masked-lm", ["--data.train=x", "--data.features=1"])


def test_a_file_may_give_the_number_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: luong\ndata.train: x.tsv\ndata.features: 3\n")
    assert load_config(str(tmp_path / "a.yaml")).data.features == "3"


def test_the_survey_counts_features_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("walk\twalked\tV;PST\ngo\tgo\tV\n")
    (tmp_path / "b.tsv").write_text("walk\twalks\tV;PRS\n")
    options = [f"--data.{part}={tmp_path / name}" for part, name in (("train", "a.tsv"), ("dev", "b.tsv"))]
    found = survey(*((config := load_config("luong", [*options, "--data.features=3"])), *read_parts(config)))
    rows = {name: numbers for name, *numbers in found.rows}
    assert rows["source: mean and most characters"] == ["3.0, 4", "4.0, 4"]
    assert rows["source: letters that train lacks"] == ["", "0"]
    assert rows["features: words that train lacks"] == ["", "1"]
    assert any("in the features: 'PRS'" in note for note in found.notes)
    (tmp_path / "a.tsv").write_text("walk\twalked\tV\tPST\ngo\tgo\tV\tPRS\n")
    assert any("has the same features, 'V', which" in note for note in survey(config, *read_parts(config)).notes)
