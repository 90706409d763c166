"""Code of the user's own that a configuration names, FILE.py:NAME: loaded where its file is asked for, never else."""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attentio.config.schema import ModelConfig
from attentio.errors import AttentioError, harmless
from attentio.models.own import NO_CODE, OwnCode
from attentio.runs.user_code import callable_of

logger = logging.getLogger(__name__)

KEYS = ("attention", "score", "normalize")
"""Of the model, that may name such code."""

Files = str | Path | Sequence[str | Path]


def own_code(model: ModelConfig, allowed: Files, where: str) -> OwnCode:
    """What the configuration names, from the files that are allowed; AttentioError, begun with where, for others.

    allowed: paths. A file is known by its name: it is read where the caller says that it is, not where it was when the
        model was trained.
    """
    named = {f"model.{key}": value for key in KEYS if ".py:" in (value := getattr(model, key))}
    if not named:
        return NO_CODE
    files = {Path(one).name: Path(one) for one in ([allowed] if isinstance(allowed, (str, Path)) else allowed)}
    parts, sha256 = {}, {}
    for key, target in named.items():
        file, _, name = target.rpartition(":")
        path = files.get(_last(file))
        if path is None:
            raise AttentioError(
                f"{where}: {key} is {harmless(target)}, code that runs only where it is asked for; "
                f"read it, then add --allow-code {harmless(file)}"
            )
        parts[target] = callable_of(f"{path}:{name}", "write it there, or name another")
        sha256[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return OwnCode(parts, sha256)


def tell_changes(own: OwnCode, facts: Mapping[str, Any], where: object) -> None:
    """Log each source that is not the one that a checkpoint, whose facts these are, was trained with."""
    for name, digest in facts.get("code_sha256", {}).items():
        if own.sha256.get(name, digest) != digest:
            logger.warning("%s has changed since %s was trained with it", name, where)


def _last(file: str) -> str:
    """Of a path as any operating system writes it."""
    return re.split(r"[\\/]", file)[-1]
