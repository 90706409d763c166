"""A class of modules is made with sizes that tell its axes apart."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from attentio.errors import AttentioError
from attentio.grading.paper import Paper

_SIZES = (
    (r"^(n_?|num_?)?_?heads?$|num_heads|n_heads|nhead|^h$", "heads"),
    (r"drop|^p$", "dropout"),
    (r"temperature", "temperature"),
    (r"max_?len|max_?pos|max_?length|max_source|positions|block_size|context_len", "longest"),
    (r"window|half|^d$|reach", "window"),
    (r"head_(dim|size|width)|d(im)?_head|^d_k$|^d_v$|^dk$|^dv$", "head"),
    (r"att|unit|align|proj|num_hiddens", "a"),
    (r"enc|key|memory|source|src|annot|kdim", "dk"),
    (r"val|vdim", "dv"),
    (r"dec|query|target|tgt|state", "dq"),
)


def made(kind: type[nn.Module], paper: Paper) -> Iterator[nn.Module]:
    """Modules of a class, with different sizes first, then with equal ones; what cannot be made is passed over.

    Raises AttentioError where none can be made.
    """
    failed: dict[str, Exception] = {}
    found = False
    for equal in (False, True):
        for rest in ("dq", "a"):
            arguments = _arguments(kind, paper, equal=equal, rest=rest)
            try:
                yield kind(**arguments)
                found = True
            except Exception as error:
                failed[", ".join(f"{name}={value}" for name, value in arguments.items())] = error
    if not found:
        given, cause = failed.popitem()
        told = f"{kind.__name__}({given}) raised {type(cause).__name__}: {cause}"
        raise AttentioError(f"{told}; give one that is made, in place of the class") from cause


def _arguments(kind: type[nn.Module], paper: Paper, *, equal: bool, rest: str) -> dict[str, Any]:
    sizes = dict(paper.sizes[0]) if paper.sizes else {"dq": 12}
    plain = {"heads": 3, "dropout": 0.0, "longest": 29, "window": 2}
    width = sizes.get("d", 12 if equal else sizes["dq"])
    plain["head"] = width // 3 if "d" in sizes else width
    arguments: dict[str, Any] = {}
    for name, one in inspect.signature(kind).parameters.items():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        role = next((role for pattern, role in _SIZES if re.search(pattern, name.lower())), rest)
        number = isinstance(one.default, (int, float)) and not isinstance(one.default, bool)
        sized = role == "dropout" or (number and role in ("heads", "head", "dk", "dq"))
        if one.default is not one.empty and not sized and (not number or role in ("a", "temperature", rest)):
            continue
        if role == "temperature":
            arguments[name] = width**0.5
        elif one.annotation in (str, "str") or re.search(r"^(method|mode|kind|type|score|align)", name):
            arguments[name] = paper.name.rpartition("-")[2]
        elif role in plain:
            arguments[name] = plain[role]
        else:
            arguments[name] = width if equal or "d" in sizes else sizes.get(role, width)
    return arguments
