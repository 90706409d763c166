"""docs/reference: it is what the docstrings say, every name and key has an example, and the examples are true."""

import ast
import contextlib
import doctest
import re
import shlex
from pathlib import Path

import pytest
import torch
from reference import FOLDER, PAGES, SOURCE, Key, Public, keys, public

import attentio as at
from attentio.config.read import load_config
from attentio.errors import AttentioError

PRESETS = ("luong", "transformer", "masked-lm", "causal-lm")


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_what_the_docstrings_say(page: str) -> None:
    """`python docs/making/reference.py` writes it anew."""
    assert (FOLDER / page).read_text(encoding="utf-8") == PAGES[page]()


def test_every_public_name_is_in_the_reference() -> None:
    assert {one.name for one in public()} == set(at.__all__) - {"__version__"}


@pytest.mark.parametrize("one", public(), ids=lambda one: one.name)
def test_a_public_name_and_each_of_its_methods_and_options_has_an_example(one: Public) -> None:
    examples = "\n".join(line for line in one.examples().splitlines() if line.startswith((">>>", "...")))
    assert f"at.{one.name}(" in examples or (examples and isinstance(one.node, ast.ClassDef))
    for method in one.methods:
        assert ast.get_docstring(method), method.name
        assert f".{method.name}" in examples or method.name == "forward", method.name
    for call in [one.node, *one.methods]:
        options = call.args.kwonlyargs if isinstance(call, ast.FunctionDef) else []
        for option in options:
            assert re.search(rf"\b{option.arg}(=|\": )", examples), f"{call.name}({option.arg}=)"


def docstrings() -> dict[str, str]:
    """All that hold examples, by where they stand."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if ">>> " in text else ():
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module):
                docstring = ast.get_docstring(node) or ""
                if ">>> " in docstring:
                    found[f"{path.relative_to(SOURCE)} {getattr(node, 'name', '')}"] = docstring
    return found


DOCSTRINGS = docstrings()


@pytest.mark.parametrize("where", DOCSTRINGS)
def test_what_an_example_shows_is_what_comes_out(where: str, tmp_path: Path) -> None:
    parsed = doctest.DocTestParser().get_doctest(DOCSTRINGS[where], {"at": at, "torch": torch}, where, None, None)
    said: list[str] = []
    with contextlib.chdir(tmp_path):
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(parsed, out=said.append)
    assert not result.failed, "".join(said)


@pytest.mark.parametrize("key", list(keys()), ids=lambda key: key.name)
def test_a_key_is_told_with_an_example_that_a_configuration_takes(key: Key) -> None:
    assert key.text
    assert key.example, f"its docstring must end in `--{key.name} VALUE`"
    refused = []
    for name in PRESETS:
        try:
            load_config(name, shlex.split(key.example))
        except AttentioError as error:
            refused.append(str(error))
    assert len(refused) < len(PRESETS), refused
