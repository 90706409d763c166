"""Attention on disk: a directory with attention.json, which says what is there, and .safetensors files of numbers.

docs/attention-format.md describes it for other programs. attention.json is written last and in one piece: a directory
without it is not finished. Nothing that is read can run code.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attentio.errors import AttentioError
from attentio.inspection.seen import Seen, SeenAttention

FORMAT, VERSION, INDEX = "attentio-attention", 1, "attention.json"
ABOUT = ("name", "call", "kind", "heads", "keys", "q_start", "scale")
TENSORS = ("weights", "indices", "query", "key", "value", "scores", "allowed")
_NAMES = {torch.float16: "F16", torch.int32: "I32", torch.bool: "BOOL"}


class Planned(NamedTuple):
    """A tensor that is still to be made: `pieces` of any type hold its numbers, in the order of memory."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Iterator[Tensor]


class Writer:
    """Writes calls as they come, each into a file of its own. Without `finish` the directory stays unreadable.

    Raises:
        AttentioError: the directory holds attention already.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        if (self.directory / INDEX).exists():
            raise AttentioError(f"{self.directory / INDEX} exists already: give another directory, or delete this one")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.entries: list[dict[str, Any]] = []

    def add(self, one: SeenAttention) -> SeenAttention:
        """Write a call whose tensors are in memory; returns it as it is on disk."""
        present = {name: tensor for name in TENSORS if (tensor := getattr(one, name)) is not None}
        about = {name: getattr(one, name) for name in ABOUT}
        return self.stream(about, {n: Planned(t.dtype, tuple(t.shape), iter([t])) for n, t in present.items()})

    def stream(self, about: dict[str, Any], planned: Mapping[str, Planned]) -> SeenAttention:
        """Write a call piece by piece, so that it never is in memory as a whole; returns it as it is on disk."""
        path = self.directory / f"{len(self.entries):06d}.safetensors"
        path.unlink(missing_ok=True)  # not overwritten: it may be mapped into memory since a capture that failed
        with path.open("wb") as file:
            file.write(_header(planned))
            for plan in planned.values():
                for piece in plan.pieces:
                    file.write(_raw(piece.to("cpu", plan.dtype)))
        one = SeenAttention(**about, **_read_tensors(path, {name: name for name in planned}))
        shape = [*one.weights.shape[:3], one.keys]
        tensors = {name: name for name in planned}
        self.entries.append({**about, "shape": shape, "file": path.name, "tensors": tensors})
        return one

    def finish(self, tokens: list[list[str]] | None = None, target_tokens: list[list[str]] | None = None) -> None:
        """Write attention.json: from now on the directory can be read."""
        from importlib.metadata import version

        index = {
            "format": FORMAT,
            "version": VERSION,
            "program": f"attentio {version('attentio')}",
            "tokens": tokens,
            "target_tokens": target_tokens,
            "entries": self.entries,
        }
        beside = self.directory / f"{INDEX}.new"
        with beside.open("w", encoding="utf-8") as file:
            json.dump(index, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.directory / INDEX)


def _header(planned: Mapping[str, Planned]) -> bytes:
    """The beginning of a safetensors file; the tensors' bytes follow in this order."""
    described, offset = {}, 0
    for name, plan in planned.items():
        end = offset + math.prod(plan.shape) * plan.dtype.itemsize
        described[name] = {"dtype": _NAMES[plan.dtype], "shape": plan.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _raw(tensor: Tensor) -> Any:
    """The bytes of a tensor, row after row."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data


def read(directory: str | Path) -> Seen:
    """See `Seen.load`."""
    path = Path(directory) / INDEX
    index = _read_index(path)
    calls = []
    for number, entry in enumerate(index["entries"]):
        try:
            calls.append(_read_entry(Path(directory), entry))
        except AttentioError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise AttentioError(f"{path}: entry {number} is damaged ({problem}); write it again") from None
    return Seen(calls, tokens=index.get("tokens"), target_tokens=index.get("target_tokens"))


def _read_index(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise AttentioError(f"{path} is missing: this is not a directory of attention, or its capture did not finish")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AttentioError(f"{path} is damaged ({error}); capture again") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise AttentioError(f'{path} is not a file of attention: it does not say "format": "{FORMAT}"')
    version = index.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise AttentioError(f"{path} has version {version}, this attentio reads version {VERSION}; update attentio")
    for name in ("tokens", "target_tokens"):
        if not _is_tokens(index.get(name)):
            raise AttentioError(f"{path} is damaged ({name} must be a list of strings for each sequence of the batch)")
    if not isinstance(index.get("entries"), list):
        raise AttentioError(f"{path} is damaged (entries must be a list); write it again")
    return index


def _is_tokens(value: object) -> bool:
    return value is None or (
        isinstance(value, list)
        and all(isinstance(row, list) and all(isinstance(token, str) for token in row) for row in value)
    )


def _read_entry(directory: Path, entry: dict[str, Any]) -> SeenAttention:
    path = directory / entry["file"]
    if path.parent != directory or path.suffix != ".safetensors":
        raise ValueError(f"file must be the name of a .safetensors file beside {INDEX}, got {entry['file']!r}")
    tensors = _read_tensors(path, entry["tensors"])
    heads, keys = tuple(int(head) for head in entry["heads"]), int(entry["keys"])
    _require_consistent(tensors, entry["shape"], heads, keys, path)
    return SeenAttention(
        name=str(entry["name"]),
        call=int(entry["call"]),
        kind=_kind(entry["kind"]),
        heads=heads,
        keys=keys,
        q_start=int(entry.get("q_start", 0)),
        scale=entry.get("scale"),
        **tensors,
    )


def _kind(kind: object) -> Any:
    if kind not in ("self", "cross"):
        raise ValueError(f'kind must be "self" or "cross", got {kind!r}')
    return kind


def _read_tensors(path: Path, names: dict[str, str]) -> dict[str, Any]:
    unknown = set(names) - set(TENSORS)
    if unknown or "weights" not in names:
        raise ValueError(f"tensors must name weights, and may name {', '.join(TENSORS[1:])}, got {sorted(names)}")
    try:
        with torch.inference_mode(False), safe_open(path, framework="pt") as file:
            return {role: file.get_tensor(name) for role, name in names.items()}
    except (OSError, SafetensorError) as error:
        raise AttentioError(f"{path} cannot be read ({error}); capture again") from None


def _require_consistent(
    tensors: dict[str, Tensor], shape: list[int], numbers: tuple[int, ...], keys: int, path: Path
) -> None:
    """Raises AttentioError where the numbers on disk are not what attention.json says of them; None: any size."""
    batch, heads, q, k = shape
    kept = (batch, heads, q, None if "indices" in tensors else k)
    wanted: dict[str, tuple[torch.dtype, tuple[int | None, ...]]] = {
        "weights": (torch.float16, kept),
        "indices": (torch.int32, tuple(tensors["weights"].shape)),
        "query": (torch.float16, (batch, heads, q, None)),
        "key": (torch.float16, (batch, heads, k, None)),
        "value": (torch.float16, (batch, heads, k, None)),
        "scores": (torch.float16, (batch, heads, q, k)),
        "allowed": (torch.bool, (batch, heads, q, k)),
    }
    for name, tensor in tensors.items():
        dtype, sizes = wanted[name]
        if not (tensor.dtype == dtype and _fits(tensor, sizes, broadcast=name == "allowed")):
            size = ", ".join("any" if n is None else str(n) for n in sizes)
            raise AttentioError(f"{path}: {name} must be {dtype} [{size}], got {tensor.dtype} {list(tensor.shape)}")
    if k != keys or heads != len(numbers):
        raise AttentioError(f"{path}: shape {shape} does not go with {keys} keys and heads {list(numbers)}")


def _fits(tensor: Tensor, sizes: tuple[int | None, ...], *, broadcast: bool) -> bool:
    if not broadcast:
        return tensor.ndim == 4 and all(n in (None, have) for n, have in zip(sizes, tensor.shape, strict=True))
    last = zip(reversed(tensor.shape), reversed(sizes), strict=False)
    return 2 <= tensor.ndim <= 4 and all(have in (1, n) for have, n in last)
