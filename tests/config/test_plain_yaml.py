"""YAML as YAML 1.2 reads it, and what of it is refused."""

from pathlib import Path

import pytest

from attentio.config.plain_yaml import DEEPEST, LARGEST, parse_yaml, read_yaml, write_yaml
from attentio.config.read import load_config, to_yaml
from attentio.errors import AttentioError

MINIMAL = "name: mine\ndata: {train: a.tsv, dev: b.tsv}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("no", "yes", "on", "off", "Y", "1:30", "2020-01-01", "1_000", "<<", "=", "-0x1")),
        *((text, None) for text in ("~", "null", "")),
        *(("true", True), ("FALSE", False)),
        *(("010", 10), ("0o10", 8), ("0x10", 16), ("-3", -3)),
        *(("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("-.inf", float("-inf"))),
        *(("'010'", "010"), ('"true"', "true")),
    ],
)
def test_values_are_those_of_the_core_schema(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}\n")["key"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    ["no", "0o10", "010", "1e3", "1:30", "<<", "", "~", "a: b", "*x", "&y", "!t", "훈련", "\x1b[31m", "x\ny"],
)
def test_text_stays_text_when_it_is_written_and_read(text: str) -> None:
    assert parse_yaml(write_yaml({text: [text]})) == {text: [text]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (MINIMAL + "name: again\n", r":3: not valid YAML: the key 'name' a second time"),
        (MINIMAL + "model: {hidden: 3,\n  hidden: 4}\n", r":4: not valid YAML: the key 'hidden' a second time"),
        (MINIMAL + "model: {hidden: 3}\nmodel.hidden: 4\n", r"the key 'model.hidden' a second time, with dots"),
        (MINIMAL + "text: &a {}\nmodel: *a\n", ":3: not valid YAML: no tag, anchor or alias"),
        (MINIMAL + "model: !!set {a}\n", ":3: not valid YAML: no tag, anchor or alias"),
        (MINIMAL + "model: " + "[" * (DEEPEST + 1), f":3: not valid YAML: more than {DEEPEST} levels"),
        (MINIMAL + "#" * LARGEST, f"more than the limit of {LARGEST:,}"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_in_one_line_that_names_the_line(
    tmp_path: Path, content: str, told: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AttentioError, match=rf"^{path}.*{told}.*\Z"):
        load_config(str(path))


def test_the_command_line_and_written_configurations_follow_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: no\ndata: {train: 1:30, dev: b.tsv}\n", encoding="utf-8")
    config = load_config(str(path), ["--model.hidden=010", "--training.learning_rate=1e-2", "--data.dev", "0o10"])
    assert (config.name, config.data.train, config.data.dev) == ("no", "1:30", "0o10")
    assert (config.model.hidden, config.training.learning_rate) == (10, 0.01)
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(str(path)) == config


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(AttentioError, match=r"bomb\.yaml:1: not valid YAML"):
        read_yaml(path)
