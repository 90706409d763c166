"""Files, trees and values that nobody should write."""

import copy
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBERS = (0, -1, 1, 3, 1.5, 2**16, 2**31, 2**63, 10**30, -(10**30), 1e308, float("inf"), float("nan"))
VALUES: tuple[Any, ...] = (
    *NUMBERS, None, True, False, "", " ", "abc", "../x", "/etc/passwd", "a\0b", "\ud800", "é" * 300, [], {}, [[]],
    {"": 0}, [None], ["a", 1], {"a": {"a": {}}},
)  # fmt: skip
WORDS = (
    "", " ", "0", "-1", "1", "2", "7", "1.5", "65536", "1000", "16777216", "1e999", "nan", "inf", "-inf", "9" * 30,
    "1" * 5000, "0x10", "1_000", "١٢", "\udcff", "null", "[]", "{}", "true", "../..", "/", ".", "..", "a/b", "~", "-",
    "\n", "é" * 300, "%s", "{0}", "[bold]x[/]", "!!python/object:os.system", "&a", "*a", "cuda", "cpu:7", "meta",
)  # fmt: skip


def flipped(draw: random.Random, content: bytes) -> bytes:
    """Some bytes changed, cut out, put in, or all of them gone."""
    if not content:
        return bytes(draw.randrange(256) for _ in range(draw.randrange(1, 30)))
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 10))):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << draw.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + draw.choice((1, 8, 100))]
            case 3:
                changed[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice((1, 4, 64))))
            case 4:
                changed[at:at] = draw.choice((b"\0", b"\xff\xfe", b"\n", b'"', b"{", b"[" * 20_000, b"\xed\xa0\x80"))
            case 5:
                changed[at:at] = changed[at : at + draw.choice((1, 8, 100))]
    return bytes(changed)


def damaged(draw: random.Random, path: Path) -> str:
    """Change a file on the disk, or what it is; returns what was done."""
    content = path.read_bytes()
    done = draw.choice(("bytes",) * 8 + ("empty", "missing", "directory", "pipe", "link to nothing", "link to itself"))
    if done == "bytes":
        path.write_bytes(flipped(draw, content))
    elif done == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if done == "directory":
            path.mkdir()
        elif done == "pipe":
            os.mkfifo(path)
        elif done.startswith("link"):
            path.symlink_to("nowhere" if done == "link to nothing" else path.name)
    return done


def retyped(draw: random.Random, tree: Any) -> tuple[Any, str]:
    """A copy of a tree of dicts and lists in which one entry is missing, another, or of another type; and which."""
    changed = copy.deepcopy(tree)
    places: list[tuple[Any, Any, str]] = []

    def walk(node: Any, path: str) -> None:
        entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in list(entries)[:200]:
            places.append((node, key, f"{path}.{key}"))
            walk(value, f"{path}.{key}")

    walk(changed, "")
    if not places or draw.random() < 0.03:
        return draw.choice(VALUES), "all of it"
    node, key, path = draw.choice(places)
    action: Callable[[], Any] = draw.choice((lambda: _drop(node, key), lambda: _put(draw, node, key)))
    return changed, f"{path}: {action()}"


def _drop(node: Any, key: Any) -> str:
    del node[key]
    return "missing"


def _put(draw: random.Random, node: Any, key: Any) -> str:
    number = node[key]
    near = (number + 1, number - 1, -number, number * 1000) if type(number) is int else ()
    node[key] = draw.choice(near) if near and draw.random() < 0.3 else draw.choice(VALUES)
    return repr(node[key])[:60]
