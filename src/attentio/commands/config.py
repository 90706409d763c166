"""The configuration of a training run, read from a preset or a YAML file and the command line. Light to import."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from attentio.commands.options import Config
from attentio.commands.uses import without_use
from attentio.errors import AttentioError


def preset_names() -> list[str]:
    """The presets that come with attentio."""
    files = resources.files("attentio") / "presets"
    return sorted(file.name.removesuffix(".yaml") for file in files.iterdir() if file.name.endswith(".yaml"))


def load_config(preset_or_file: str, overrides: Sequence[str] = (), *, shared: Sequence[str] = ()) -> Config:
    """A preset's or a YAML file's configuration with `--key.sub value` (or `--key.sub=value`) on top.

    A preset given another data.train has no data.test unless that is given too.

    shared: overrides that other configurations get as well, so that they need not do anything in this one.

    Raises AttentioError for an unknown preset, file, key or value, with the nearest name, and for an override that does
    nothing.
    """
    path = Path(preset_or_file)
    if preset_or_file in preset_names():
        path = Path(str(resources.files("attentio"))) / "presets" / f"{preset_or_file}.yaml"
    elif not path.is_file():
        nearest = _nearest(preset_or_file, preset_names())
        raise AttentioError(
            f"{preset_or_file!r} is neither a file nor a preset{nearest}; the presets are {', '.join(preset_names())}"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AttentioError(f"{preset_or_file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise AttentioError(f"{preset_or_file} must hold keys such as data.train and model.attention")
    config = _parse(content, path, [*overrides, *shared])
    # What was written on the command line must do something; a file is complete and has every key.
    if idle := without_use(config, keys_of(overrides)):
        raise AttentioError(idle)
    given = keys_of([*overrides, *shared])
    if preset_or_file in preset_names() and "data.train" in given and "data.test" not in given:
        # The preset's test set belongs to the preset's own data.
        return replace(config, data=replace(config.data, test=None))
    return config


def _parse(content: dict[str, Any], origin: Path, overrides: Sequence[str]) -> Config:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Config, fail_untyped=True)
    parser.add_argument("--config", action="config")
    names = {action.dest for action in parser._actions} - {"help", "config", "print_config"}
    known = sorted(key for key in names if not any(name.startswith(key + ".") for name in names))
    keys = [(key, str(origin)) for key in _leaves(content)]
    keys += [(key, "the command line") for key in keys_of(overrides)]
    for key, where in keys:
        inside = [name for name in known if name.startswith(key + ".")]
        if inside:
            raise AttentioError(f"{key!r} in {where} has no value of its own; give its keys, such as {inside[0]!r}")
        if key not in known:
            raise AttentioError(f"unknown key {key!r} in {where}{_nearest(key, known)}")
    try:
        parsed = parser.parse_args([f"--config={origin}", *overrides])
        parsed.pop("config")
        config = Config(**vars(parser.instantiate(parsed)))
        _check_limits(config)
        _check_together(config)
        return config
    except (ArgumentError, TypeError, ValueError) as error:
        where = f"{origin.name} or the command line" if overrides else str(origin)
        raise AttentioError(f"{where}: {_readable(error)}") from None


def _check_limits(config: Any, prefix: str = "") -> None:
    for each in fields(config):
        key, value = f"{prefix}{each.name}", getattr(config, each.name)
        if is_dataclass(value):
            _check_limits(value, f"{key}.")
        elif each.metadata and value is not None and not each.metadata["allows"](value):
            raise ValueError(f"{key} must be {each.metadata['said']}; got {value}")


def _check_together(config: Config) -> None:
    """What each key allows, and another forbids."""
    masking, model, transformer = config.masking, config.model, config.model.transformer
    if masking.mask + masking.random > 1 + 1e-9:
        raise ValueError(f"masking.mask + masking.random must be at most 1; got {masking.mask} + {masking.random}")
    rows_are_cut = model.type != "encoder-decoder"
    if rows_are_cut and transformer.positions == "learned" and config.text.block > transformer.max_length:
        raise ValueError(
            f"text.block must be at most model.transformer.max_length, the positions that are learnt; "
            f"got {config.text.block} and {transformer.max_length}"
        )


def to_yaml(config: Config) -> str:
    """The complete configuration, as `load_config` reads it."""
    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def _leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in content.items():
        keys += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys


def keys_of(overrides: Sequence[str]) -> list[str]:
    """The keys of `--key.sub value` and `--key.sub=value`."""
    return [word[2:].split("=", 1)[0] for word in overrides if word.startswith("--")]


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _readable(error: Exception) -> str:
    """jsonargparse's message on one line; a wrong choice with the choices and the nearest of them."""
    message = " ".join(str(error).split())
    wrong = re.search(r'key "(?P<key>[^"]+)": .*?Literal\[(?P<choices>[^]]+)\].* value: (?P<value>.*)', message)
    if wrong is None:
        return message.replace("Parser key ", "")
    choices = re.findall(r"'([^']+)'", wrong["choices"])
    nearest = _nearest(wrong["value"], choices)
    return f"{wrong['key']} must be one of {', '.join(choices)}; got {wrong['value']!r}{nearest}"
