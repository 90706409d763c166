"""The configuration of a training run, read from a preset or a YAML file and the command line. Light to import."""

import json
import re
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from yaml import YAMLError

from attentio.config.plain_yaml import checked_yaml, parse_yaml, read_yaml, write_yaml
from attentio.config.schema import Config
from attentio.config.uses import without_use
from attentio.errors import AttentioError, did_you_mean
from attentio.files import is_missing
from attentio.system import forward_slashes

PARTS = ("train", "dev", "test")


def preset_names() -> list[str]:
    """The presets that come with attentio."""
    files = resources.files("attentio") / "presets"
    return sorted(file.name.removesuffix(".yaml") for file in files.iterdir() if file.name.endswith(".yaml"))


def check_name(name: str, where: str) -> None:
    """AttentioError, beginning with `where`, for a name that is a path: folders are called by it."""
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise AttentioError(f"{where} must be a plain name, not a path, got {name!r}")


def load_config(preset_or_file: str, overrides: Sequence[str] = (), *, shared: Sequence[str] = ()) -> Config:
    """A preset's or a YAML file's configuration with `--key.sub value` (or `--key.sub=value`) on top.

    A file's `base`, a preset or another file beside it, has the keys that the file itself does not give.
    Given another data.train, a preset's own data.dev and data.test are no longer there: they belong to its own data.

    shared: overrides that other configurations get as well, so that they need not do anything in this one.

    Raises AttentioError for an unknown preset, file, key or value, with the nearest name, and for an override that does
    nothing.
    """
    path = _path(preset_or_file)
    content = _content(path)
    config = _parse(content, path, [*overrides, *shared])
    # What was written on the command line must do something; a file is complete and has every key.
    if idle := without_use(config, keys_of(overrides)):
        raise AttentioError(idle)
    given, own = keys_of([*overrides, *shared]), content
    if "data.train" in given and config.data.train != own.get("data.train"):
        left = [part for part in PARTS[1:] if f"data.{part}" not in given and own.get(f"data.{part}") in _of_presets()]
        without: dict[str, Any] = dict.fromkeys(left)
        return replace(config, data=replace(config.data, **without))
    return config


def _path(preset_or_file: str, beside: Path | None = None) -> Path:
    """Of a preset or a file. beside: the file that names it."""
    if preset_or_file in preset_names():
        return _preset(preset_or_file)
    path = Path(preset_or_file) if beside is None else beside.parent / preset_or_file
    if is_missing(path):
        where = "" if beside is None else f"{beside}: base: "
        raise AttentioError(
            f"{where}{preset_or_file!r} is neither a file nor a preset; the presets are {', '.join(preset_names())}"
            f"{did_you_mean(preset_or_file, preset_names())}"
        )
    return path


def _content(path: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """What a file gives, with dots in its keys, over what its `base` gives. above: the files that it is the base of."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise AttentioError(f"{path} must hold keys such as data.train and model.attention")
    base = content.pop("base", None)
    own = _flat(content, path)
    if base is None:
        return own
    below = _path(str(base), path)
    if below.resolve() in {one.resolve() for one in (*above, path)}:
        raise AttentioError(f"{path}: base: {base} is based on this file; a circle has no first values")
    inherited = _content(below, (*above, path))
    if own.get("data.train", inherited.get("data.train")) != inherited.get("data.train"):
        left = [key for part in PARTS[1:] if inherited.get(key := f"data.{part}") in _of_presets()]
        inherited = {key: value for key, value in inherited.items() if key not in left}
    return {**inherited, **own}


def _flat(content: dict[str, Any], origin: Path) -> dict[str, Any]:
    """With dots in the keys."""
    found = leaves(content)
    if twice := [key for key, count in Counter(key for key, _ in found).items() if count > 1]:
        raise AttentioError(f"{origin}: the key {twice[0]!r} a second time, with dots and without; leave one out")
    return dict(found)


def load_run(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a run directory, with overrides on top."""
    return load_config(str(folder / "config.yaml"), overrides, shared=as_begun(folder, overrides))


def as_begun(folder: Path, overrides: Sequence[str]) -> list[str]:
    """Overrides by which a run directory that was begun before some keys were there goes on as it was begun.

    A run's configuration is complete, so that it was begun before a key that it does not have. overrides: of the user,
    which have precedence. A folder without tokenizers is no run, whatever configuration is in it.
    """
    path = folder / "config.yaml"
    content = read_yaml(path) if path.is_file() and (folder / "tokenizer").is_dir() else None
    if not isinstance(content, dict):
        return []
    return _before(content, keys_of(overrides))


def _before(content: dict[str, Any], given: Sequence[str]) -> list[str]:
    known = {*dict(leaves(content)), *given}
    return [f"--{key}={value}" for key, value in _BEFORE.items() if key not in known]


_BEFORE = {"data.separator": "tab", "data.header": "false", "text.normalize": "none"}
"""What was done before the key was there."""


def _preset(name: str) -> Path:
    return Path(str(resources.files("attentio"))) / "presets" / f"{name}.yaml"


def _of_presets() -> list[str | None]:
    """The data that presets name."""
    return [read_yaml(_preset(name))["data"].get(part) for name in preset_names() for part in PARTS]


def config_in(text: str, origin: Path) -> Config:
    """The complete configuration in a text of YAML, as of a run directory; AttentioError, with the origin."""
    content = checked_yaml(text, origin)
    if not isinstance(content, dict):
        raise AttentioError(f"{origin} must hold keys such as data.train and model.attention")
    return _parse(_flat(content, origin), origin, _before(content, []))


def _parse(content: dict[str, Any], origin: Path, overrides: Sequence[str]) -> Config:
    """content: by keys with dots."""
    from jsonargparse import ArgumentError, ArgumentParser, set_loader

    set_loader("plain-yaml", parse_yaml, exceptions=(YAMLError, ValueError))
    parser = ArgumentParser(exit_on_error=False, parser_mode="plain-yaml")
    parser.add_class_arguments(Config, fail_untyped=True)
    parser.add_argument("--config", action="config")
    names = {action.dest for action in parser._actions} - {"help", "config", "print_config"}
    known = sorted(key for key in names if not any(name.startswith(key + ".") for name in names))
    keys = [(key, str(origin)) for key in content]
    keys += [(key, "the command line") for key in keys_of(overrides)]
    for key, where in keys:
        inside = [name for name in known if name.startswith(key + ".")]
        if inside:
            raise AttentioError(f"{key!r} in {where} has no value of its own; give its keys, such as {inside[0]!r}")
        if key not in known:
            _, _, last = key.rpartition(".")
            elsewhere = [name for name in known if name.rpartition(".")[2] == last]
            raise AttentioError(
                f"unknown key {key!r} in {where}{did_you_mean(elsewhere[0] if elsewhere else key, known)}"
            )
    try:
        for key, value in [*content.items(), *_values_of(overrides)]:
            _check_plain(key, value)
        # Not the file's name: the parser would read it in the encoding of the system, which may be ASCII.
        lists = {action.dest for action in parser._actions if "list[" in str(getattr(action, "_typehint", ""))}
        written = {key: [*map(str, value)] if isinstance(value, list) else value for key, value in content.items()}
        if isinstance(column := written.get("data.features"), int):
            written["data.features"] = str(column)
        given = [f"--config={write_yaml(written, ascii_only=True)}", *_with_lists(overrides, lists)]
        parsed = parser.parse_args(given)
        parsed.pop("config")
        config = Config(**vars(parser.instantiate(parsed)))
        named = {part: getattr(config.data, part) for part in (*PARTS, "unlabelled")}
        # Another system may go on with the run.
        portable: dict[str, Any] = {part: spec and forward_slashes(spec) for part, spec in named.items()}
        return replace(
            config,
            data=replace(config.data, **portable),
            init=config.init and forward_slashes(config.init),
            teacher=config.teacher and forward_slashes(config.teacher),
        )
    except (ArgumentError, TypeError, ValueError) as error:
        where = f"{origin.name} or the command line" if overrides else str(origin)
        raise AttentioError(f"{where}: {_readable(error)}") from None


def _check_plain(key: str, value: Any) -> None:
    """AttentioError for a text where something else belongs: jsonargparse takes 1:30 for 90, as YAML 1.1 has it."""
    kinds, said, choices = _kinds(key)
    if isinstance(value, str) and value not in choices and not {int, float, bool}.isdisjoint(kinds):
        try:
            plain = parse_yaml(value)
        except (YAMLError, ValueError):  # jsonargparse will say so
            return
        if isinstance(plain, str):
            raise AttentioError(f"{key} must be {said}; got {value[:LONGEST_VALUE]!r}")


def _with_lists(overrides: Sequence[str], lists: Container[str]) -> list[str]:
    """`a,b` and `[a,1]` as a list of texts where such a list is meant. lists: the keys of such."""
    words, key = [], ""
    for word in overrides:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        key = option[2:] or key
        if key in lists and (equals or not option) and value != "null":
            items = value.split(",")  # as they are written: `*` and the like mean something in YAML
            with suppress(YAMLError, ValueError):  # jsonargparse will say so
                if value.startswith("[") or '"' in value or "'" in value:
                    items = parse_yaml(value if value.startswith("[") else f"[{value}]")
                value = json.dumps([str(item).strip() for item in items])
        words.append(f"{option}{equals}{value}")
    return words


def to_yaml(config: Config) -> str:
    """The complete configuration, as `load_config` reads it."""
    return write_yaml(asdict(config))


def leaves(content: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Keys such as "data.train" with their values."""
    found: list[tuple[str, Any]] = []
    for name, value in content.items():
        found += leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found


def _values_of(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """The keys of `--key.sub value` and `--key.sub=value` with their values."""
    found = []
    for word, following in zip(overrides, [*overrides, ""][1:], strict=True):
        key, equals, value = word.partition("=")
        if key.startswith("--"):
            found.append((key[2:], value if equals else following))
    return found


def keys_of(overrides: Sequence[str]) -> list[str]:
    """The keys of `--key.sub value` and `--key.sub=value`."""
    return [word[2:].split("=", 1)[0] for word in overrides if word.startswith("--")]


LONGEST_VALUE = 40
"""Characters that are shown of a value that is wrong."""


def _readable(error: Exception) -> str:
    """jsonargparse's message on one line: what the key takes, within which limits, and the nearest of its choices."""
    message = " ".join(str(error).split())
    wrong = re.match(r'Parser key "(?P<key>[\w.]+)": (?:.*(?:Got|Given) value: ?(?P<value>.*))?', message)
    if wrong is None:
        return message.replace("Parser key ", "")
    _, kinds, choices = _kinds(wrong["key"])
    value = wrong["value"]
    if value is None:
        return f"{wrong['key']} must be {kinds}; got a number of too many digits"
    hint = "" if value in choices else did_you_mean(value, choices)
    return f"{wrong['key']} must be {kinds}; got {value[:LONGEST_VALUE]!r}" + hint


def _kinds(key: str) -> tuple[tuple[Any, ...], str, list[str]]:
    """The types of a key's value; what may be its value, in words; and the choices, where it has some."""
    kind: Any = Config
    for name in key.split("."):
        found = next(each for each in fields(kind) if each.name == name)
        kind = found.type
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    choices = list(dict.fromkeys(choice for each in (*kinds, *get_args(kind)) for choice in _choices(each)))
    if int in kinds:
        said = f"a whole number, {found.metadata['said']}"
    elif float in kinds:
        said = f"a number, {found.metadata['said']}"
    elif bool in kinds:
        said = f"true, false or {choices[0]}" if choices else "true or false"
    elif any(get_origin(each) is list for each in kinds):
        said = found.metadata.get("said", "a list, such as [a, b]")
        said = f"a list, such as [{choices[0]}], of {', '.join(choices)}" if choices else said
    else:
        said = f"one of {', '.join(choices)}" if choices else found.metadata.get("said", "a text")
    return kinds, f"null or {said}" if NoneType in kinds else said, choices


def _choices(kind: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
