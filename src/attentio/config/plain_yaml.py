"""YAML by the core schema of YAML 1.2: `no`, `on` and `1:30` are text, `010` is ten.

Of YAML's other means only the plain ones are taken. An alias can stand for a million nodes, a tag for any object, and
of a key that is there twice nobody knows which is meant.
https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from pathlib import Path
from typing import Any

import yaml

from attentio.errors import AttentioError
from attentio.files import read_text

LARGEST = 2**17
"""Bytes of a file: thousands of keys, read within seconds."""

DEEPEST = 20
"""Levels of mappings and lists."""

_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
"""Which text that is not quoted is no text. The first that matches decides."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}  # noqa: RUF012, PyYAML's own; those of YAML 1.1 are not inherited
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
            raise yaml.composer.ComposerError(None, None, "no tag, anchor or alias may be there", event.start_mark)
        if self.depth == DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"more than {DEEPEST} levels", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        found = super().construct_mapping(node, deep)
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} a second time", key_node.start_mark
                )
            seen.add(key)
        return found

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would take for something else than text: other programs read it too."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Unicode's other line ends stay themselves between double quotes only, where they are escaped."""
        style = '"' if any(end in data for end in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


for _name, _pattern in _PLAIN.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> Any:
    """What a file holds.

    Raises:
        AttentioError: it is missing, no regular file, too big or no plain YAML, with the line.
    """
    return checked_yaml(read_text(path, most=LARGEST), path)


def checked_yaml(text: str, origin: Path) -> Any:
    """What a text holds; AttentioError, beginning with the origin and the line, where it is no plain YAML."""
    try:
        return parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise AttentioError(f"{origin}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # a number of too many digits is a ValueError
        raise AttentioError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None


def parse_yaml(text: str) -> Any:
    """What a text holds; yaml.YAMLError or ValueError where it is no plain YAML."""
    return yaml.load(text, Loader=_Loader)


def write_yaml(content: Any, *, ascii_only: bool = False) -> str:
    """Text that `parse_yaml` reads as the same; `ascii_only` escapes all other characters."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=not ascii_only)
