"""A short run of the fuzzer, with a fresh seed; and what Hypothesis finds in what reads configurations."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz_mutations import VALUES, WORDS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attentio.config.plain_yaml import parse_yaml, write_yaml
from attentio.config.read import leaves, load_config, to_yaml
from attentio.config.schema import Config
from attentio.errors import AttentioError

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer forks, and reads the memory of processes from /proc")
def test_a_short_run_of_the_fuzzer_finds_nothing() -> None:
    words = [sys.executable, str(Path(__file__).parent), "--seconds", "10"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert "nothing found" in done.stdout


@given(st.text() | TREES.map(lambda tree: yaml.safe_dump(tree)))
def test_yaml_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError, ValueError):
        parse_yaml(text)


@given(TREES)
@example({"\x85": None})
@example(["\u2028 a", {"b\u2029": "\x85"}])
def test_what_is_written_as_yaml_is_read_as_the_same(tree: Any) -> None:
    assert repr(parse_yaml(write_yaml(tree))) == repr(tree)


KEYS = sorted(dict(leaves(asdict(load_config("transformer")))))


def taken(path: str, options: Sequence[str] = ()) -> Config | None:
    """The configuration, or None where it is refused, in one line."""
    told = ""
    try:
        return load_config(path, options)
    except AttentioError as error:
        told = str(error)
    assert told
    assert "\n" not in told
    return None


def assert_kept(config: Any) -> None:
    """What was taken is of the right type, and reads back as itself."""
    for each in fields(config):
        if is_dataclass(value := getattr(config, each.name)):
            assert_kept(value)
        elif each.type in (int, float, bool, str):
            assert isinstance(value, each.type), (each.name, value)
    if isinstance(config, Config):
        assert parse_yaml(to_yaml(config)) == asdict(config)


@given(st.sampled_from(KEYS), st.sampled_from(WORDS) | st.text(max_size=20))
def test_a_value_on_the_command_line_is_taken_or_refused(key: str, word: str) -> None:
    if (config := taken("transformer", [f"--{key}={word}"])) is not None:
        assert_kept(config)


@settings(max_examples=40)  # each writes and reads a file
@given(st.sampled_from(KEYS), st.sampled_from(VALUES) | TREES)
def test_a_value_in_a_file_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, key: str, value: Any) -> None:
    tree = asdict(load_config("transformer"))
    *sections, name = key.split(".")
    section = tree
    for each in sections:
        section = section[each]
    section[name] = value
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_bytes(write_yaml(tree, ascii_only=True).encode())
    if (config := taken(str(path))) is not None:
        assert_kept(config)
