"""A run directory begun, or taken up again where training stopped."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attentio import system
from attentio.config.read import leaves, load_run, to_yaml
from attentio.config.schema import Config
from attentio.data.part import HELD_OUT, Part
from attentio.errors import AttentioError
from attentio.files import read_json
from attentio.runs.build import Tokenizers
from attentio.runs.distillation import LESSONS
from attentio.runs.examples import examples_of
from attentio.runs.sums import check_sums
from attentio.runs.tasks import task_of
from attentio.training.checkpoint import Checkpoints
from attentio.training.records import METRICS

MAY_CHANGE = {
    f"training.{key}"
    for key in ("max_steps", "max_minutes", "patience", "checkpoint_every", "log_every", "keep_checkpoints", "samples")
}
"""Keys in which a resumed run may differ from its beginning; any other would make it another run.

Keys of `data` may differ too: they say where the data are, and the data themselves are compared.
"""

_WORTH_KEEPING = (METRICS, LESSONS)
"""What training has written, and what teachers have made."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The run directory, created if need be and held against a second process until the end.

    One that was created is removed again where a mistake, or Ctrl-C, ends it before training begins.
    """
    from filelock import FileLock, Timeout

    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout:
        raise AttentioError(f"another process is training in {folder}; wait, or choose another --run") from None
    except OSError as error:
        raise AttentioError(f"cannot write to {folder}: {error.strerror}; choose another --run") from None
    try:
        with lock:
            yield
    except (AttentioError, KeyboardInterrupt):
        if not there and not any((folder / name).exists() for name in _WORTH_KEEPING):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def prepare(
    folder: Path,
    config: Config,
    train: Part,
    dev: Part,
    *,
    resuming: bool,
    lessons: Part | None = None,
    known: Tokenizers[Any] | None = None,
) -> Tokenizers[Any]:
    """Write what the later commands need before training starts, or check that it still holds.

    lessons: what is learnt from, where it is not the training data themselves.
    known: the tokenizers of the model that training begins with, or is taught by, which are kept.

    Raises AttentioError where a run that is resumed had another configuration, other tokenizers or other data.
    """
    task, facts = task_of(config), {"train": train.facts(), "dev": dev.facts()}
    if resuming:
        _check_config(folder, config)
        _check_data(folder, facts, config)
        check_sums(folder, config, Checkpoints(folder).load("last"))
        tokenizers = task.blueprint.load_tokenizers(folder / "tokenizer", config)
    else:
        _check_not_of_others(folder)
        learnt = lessons or train
        tokenizers = task.learn(config, learnt) if known is None else task.keep(config, learnt, known)
        tokenizers.save(folder / "tokenizer")
        written = {**facts, "examples": examples_of(config, dev)}
        system.replace_text(folder / "data.json", json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    if config.data.dev is None:
        dev.write(folder / HELD_OUT)
    system.replace_text(folder / "config.yaml", to_yaml(config))
    return tokenizers


def _check_not_of_others(folder: Path) -> None:
    """A run begins with its tokenizers: where there are none, files of these names are somebody's own."""
    there = [name for name in ("data.json", "config.yaml", HELD_OUT) if (folder / name).exists()]
    if there and not (folder / "tokenizer").is_dir():
        raise AttentioError(f"{folder / there[0]} is no part of a run, and would be written over; choose another --run")


def _check_config(folder: Path, config: Config) -> None:
    if not (folder / "config.yaml").is_file():
        raise AttentioError(
            f"{folder} holds checkpoints and no config.yaml; choose another --run, or remove it to begin anew"
        )
    begun = dict(leaves(asdict(load_run(folder))))
    different = {key for key, value in leaves(asdict(config)) if begun.get(key) != value} - MAY_CHANGE
    if different := {key for key in different if not key.startswith("data.")}:
        raise AttentioError(
            f"{folder} was begun with another {', '.join(sorted(different))}; "
            f"choose another --run, or remove {folder} to begin anew"
        )


_HOW_READ = ("separator", "columns", "header", "document", "bad_lines")
"""Keys of `data` that say how a file is read."""


def _check_data(folder: Path, facts: dict[str, dict[str, Any]], config: Config) -> None:
    try:
        content = read_json(folder / "data.json")
        known = {part: content[part]["sha256"] for part in facts}
    except (AttentioError, KeyError, TypeError):
        raise AttentioError(f"{folder / 'data.json'} is damaged; choose another --run to begin anew") from None
    for part, fact in facts.items():
        if known[part] != fact["sha256"]:
            begun = load_run(folder).data
            if read_otherwise := [key for key in _HOW_READ if getattr(begun, key) != getattr(config.data, key)]:
                raise AttentioError(
                    f"{folder} was begun with another data.{', data.'.join(read_otherwise)}, with which "
                    f"{fact['name']} held other texts; set it back, or choose another --run"
                )
            if begun.dev is None and config.data.dev is not None:
                raise AttentioError(
                    f"{folder} was begun with a part of its training data held out; leave data.dev out, or choose "
                    f"another --run"
                )
            if begun.dev is not None and config.data.dev is None:
                raise AttentioError(
                    f"{folder} was begun with data.dev {begun.dev}; give that again, or choose another --run"
                )
            if (before := getattr(begun, part)) not in (None, getattr(config.data, part)):
                raise AttentioError(
                    f"{folder} was begun with the data {before}, and {fact['name']} holds others; choose another --run"
                )
            raise AttentioError(f"{fact['name']} has changed since {folder} was begun; choose another --run")
