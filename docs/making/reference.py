"""docs/reference: every public name and every configuration key, from their docstrings.

python docs/making/reference.py        write both pages anew
"""

import ast
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import attentio
from attentio.config import schema
from attentio.config.uses import purposes

FOLDER = Path(__file__).parents[1] / "reference"
SOURCE = Path(attentio.__file__).parent

_CODE = re.compile(r"(`[^`]+`)")
_MARKUP = re.compile(r"\*\w+\*|[*<]")
_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")
_SECTION = re.compile(r"(Args|Returns|Yields|Raises|Reference):(.*)")
_ONE_LINE = 100


class Public(NamedTuple):
    """A public name. methods: its public methods and properties, if it is a class."""

    name: str
    node: ast.ClassDef | ast.FunctionDef
    methods: list[ast.FunctionDef]

    def examples(self) -> str:
        """All docstrings of it, in which its examples are."""
        return "\n".join(ast.get_docstring(node) or "" for node in (self.node, *self.methods))


def public() -> list[Public]:
    """All of `attentio.__all__` that has a docstring of its own, in alphabetical order."""
    homes = {name: home for home, names in attentio._HOMES.items() for name in names}
    return [_public(name, homes[name]) for name in sorted(attentio.__all__, key=str.casefold) if name in homes]


def _public(name: str, home: str) -> Public:
    tree = ast.parse((SOURCE.parent / f"{home.replace('.', '/')}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _public(name, str(node.module))
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            inside = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            shown = [each for each in inside if each.name[0] != "_" and "overload" not in _decorators(each)]
            return Public(name, node, _inherited(node, tree, shown) if isinstance(node, ast.ClassDef) else [])
    raise LookupError(f"{home} has no {name}")


def _inherited(node: ast.ClassDef, tree: ast.Module, own: list[ast.FunctionDef]) -> list[ast.FunctionDef]:
    """Its public methods, and before them those of bases of ours that it does not define itself."""
    names, found = {each.name for each in own}, []
    for imported in (each for each in tree.body if isinstance(each, ast.ImportFrom)):
        for alias in imported.names:
            if alias.name in map(ast.unparse, node.bases) and str(imported.module).startswith("attentio."):
                methods = _public(alias.name, str(imported.module)).methods
                found += [each for each in methods if each.name not in names]
    return found + own


def _decorators(node: ast.FunctionDef) -> list[str]:
    return [ast.unparse(each) for each in node.decorator_list]


def _anchor(one: Public, names: Sequence[Public]) -> str:
    """That of its heading; of a function whose class has the same name in capitals, one of its own."""
    alike = [each for each in names if each.name.lower() == one.name.lower()]
    return one.name.lower() if one is alike[0] else f"function-{one.name.lower()}"


def python_page() -> str:
    """The page of public names."""
    out = [
        "# Reference: Python",
        "Written from the docstrings by `python docs/making/reference.py`. Every example is tested; each begins",
        "```python\nimport attentio as at\nimport torch\n```",
        "The [guide](../guide.md) explains how these go together; `at.__version__` is the version.",
    ]
    names = public()
    out.append(" · ".join(f"[{each.name}](#{_anchor(each, names)})" for each in names))
    for each in names:
        if (anchor := _anchor(each, names)) != each.name.lower():
            out.append(f'<a id="{anchor}"></a>')
        out += [f"## {each.name}", f"```python\n{_signature(each)}\n```", *_prose(ast.get_docstring(each.node) or "")]
        for method in each.methods:
            out.append(f"### {each.name}.{method.name}")
            if "property" not in _decorators(method):
                out.append(f"```python\n{_call(method)}\n```")
            out += _prose(ast.get_docstring(method) or "")
    return "\n\n".join(out) + "\n"


def _signature(one: Public) -> str:
    """Of a function its call; of a class its fields, or the call that makes it."""
    if isinstance(one.node, ast.FunctionDef):
        return _call(one.node)
    made = [each for each in one.node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    if made:
        return _call(made[0], one.name)
    listed = [f"    {ast.unparse(each)}" for each in one.node.body if isinstance(each, ast.AnnAssign)]
    return "\n".join([f"class {one.name}{':' if listed else ''}", *listed])


def _call(node: ast.FunctionDef, name: str = "") -> str:
    given, parts = node.args, []
    defaults = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    for place, default in zip(given.args, defaults, strict=True):
        if place.arg not in ("self", "cls"):
            parts.append(_parameter(place, default))
    parts += ["*"] if given.kwonlyargs else []
    parts += [_parameter(*each) for each in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and not name else ""
    line = f"{name or node.name}({', '.join(parts)}){returns}"
    if len(line) <= _ONE_LINE:
        return line
    return "\n".join([f"{name or node.name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _parameter(place: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(place.annotation)}" if place.annotation else ""
    return f"{place.arg}{kind}" + (f"{' = ' if kind else '='}{ast.unparse(default)}" if default else "")


def _prose(docstring: str) -> Iterator[str]:
    """A docstring as paragraphs of Markdown: examples as blocks, what is told of names as lists."""
    for block in re.split(r"\n\n(?! )|\n(?=(?:Args|Returns|Yields|Raises|Reference):)", docstring):
        section = _SECTION.match(block)
        if block.startswith(">>>"):
            yield f"```pycon\n{block}\n```"
        elif section is None:
            yield _entries(block) if _ENTRY.match(block) else block if "\n    " in block else _escaped(block)
        else:
            inside = re.sub(r"^    ", "", section[2].strip() + block[section.end() :], flags=re.MULTILINE).strip("\n")
            listed = section[1] in ("Args", "Raises")
            yield f"**{section[1]}**" + (f"\n\n{_entries(inside)}" if listed else f": {_escaped(inside)}")


def _entries(text: str) -> str:
    """Lines `name: what it is`, each with what is indented below it, as a list; other lines as they are."""
    lines = []
    for line in text.splitlines():
        entry = _ENTRY.fullmatch(line)
        lines.append(f"- `{entry[1]}`: {_escaped(entry[2])}" if entry else f"  {_escaped(line.strip())}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """What Markdown would read as its own, outside code."""
    parts = _CODE.split(text)
    parts[::2] = [
        _MARKUP.sub(lambda found: found[0] if len(found[0]) > 1 else f"\\{found[0]}", part) for part in parts[::2]
    ]
    return "".join(parts)


class Key(NamedTuple):
    """A key of the configuration.

    text: what it is for. example: options of the command line that set it. "" where its docstring does not say.
    """

    name: str
    field: Any
    text: str
    example: str


def keys(section: Any = schema.Config, prefix: str = "") -> Iterator[Key]:
    """All keys below a section, in the order of the schema."""
    told = {name: text for base in section.__mro__[::-1] for name, text in _told(base)}
    for each in fields(section):
        name = prefix + each.name
        if is_dataclass(each.type):
            yield from keys(each.type, f"{name}.")
        else:
            # What is told of one side holds for the other.
            text = told.get(each.name, "").replace("--text.source.", f"--{prefix}")
            example = re.search(rf"`([^`]*--{re.escape(name)} [^`]+)`$", text)
            yield Key(name, each, text[: example.start()].strip() if example else text, example[1] if example else "")


def _told(section: type) -> Iterator[tuple[str, str]]:
    for line in re.sub(r"\n +(?=\S)", " ", inspect.getdoc(section) or "").splitlines():
        if entry := _ENTRY.fullmatch(line):
            yield entry[1], entry[2]


def configuration_page() -> str:
    """The page of keys."""
    out = [
        "# Reference: the configuration",
        "Written from the docstrings of the schema by `python docs/making/reference.py`. Every key may stand in a YAML "
        "file and, as in the example behind it, on the command line: `attentio train PRESET_OR_YAML --key.sub value`. "
        "The [guide](../guide.md#the-configuration) explains how they go together.",
    ]
    for prefix, section in _sections():
        own = [key for key in keys(section, prefix) if "." not in key.name.removeprefix(prefix)]
        about = (inspect.getdoc(section) or "").partition("\n\n")[0]
        out += [f"## {prefix.removesuffix('.') or 'The run'}", _escaped(about), "\n".join(map(_key, own))]
    return "\n\n".join(out) + "\n"


def _sections(section: Any = schema.Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All sections, each before those in it."""
    yield prefix, section
    for each in fields(section):
        if is_dataclass(each.type):
            yield from _sections(each.type, f"{prefix}{each.name}.")


def _key(key: Key) -> str:
    made = key.field.default_factory
    default = key.field.default if made is MISSING else made()
    if default is not MISSING:
        default = f"default `{default if isinstance(default, str) else json.dumps(default)}`"
    default = "must be given" if default is MISSING else default
    only = "".join(f" Only for {said}." for _, said in purposes(key.name))
    return f"- **`{key.name}`** ({_values(key.field)}; {default}): {_escaped(key.text)}{only} `{key.example}`"


def _values(field: Any) -> str:
    """Which values a key may have, in words."""
    return " or ".join(dict.fromkeys(_kinds(field.type, field.metadata.get("said", ""))))


def _kinds(kind: Any, limits: str) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield ", ".join(f"`{choice}`" for choice in get_args(kind))
    elif get_origin(kind) is list:
        yield f"a list of {next(_kinds(get_args(kind)[0], ''))}".replace("a text", "texts")
    elif get_args(kind):
        for each in get_args(kind):
            yield from _kinds(each, limits)
    else:
        words = {bool: "`true`, `false`", int: "a whole number", float: "a number", str: "a text", NoneType: "`null`"}
        number = f", {limits}" if limits and kind in (int, float) else ""
        yield limits if limits and kind is str else f"{words[kind]}{number}"


PAGES = {"python.md": python_page, "configuration.md": configuration_page}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(f"wrote {FOLDER / name}")
