"""Attention on disk: a directory with attention.json, which says what is there, and .safetensors files of numbers.

docs/attention-format.md describes it for other programs. attention.json is written last and in one piece: a directory
without it is not finished. Nothing that is read can run code.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attentio.capturing.record import SeenAttention, SelfOrCross
from attentio.errors import AttentioError
from attentio.version import __version__

FORMAT, VERSION, INDEX = "attentio-attention", 1, "attention.json"
METADATA = ("name", "call", "kind", "heads", "keys", "q_start", "alpha", "scale")
TENSORS = ("weights", "indices", "query", "key", "value", "scores", "allowed")
_DTYPE_NAMES = {torch.float16: "F16", torch.int32: "I32", torch.bool: "BOOL"}


class TensorStream(NamedTuple):
    """A tensor that is still to be made: `pieces` of any type hold its numbers, in the order of memory."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Iterator[Tensor]

    @classmethod
    def whole(cls, tensor: Tensor, dtype: torch.dtype) -> "TensorStream":
        """A tensor that is there already, to be stored as `dtype`."""
        return cls(dtype, tuple(tensor.shape), iter([tensor]))


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

    def add(self, call: SeenAttention) -> None:
        """Write a call whose tensors are in memory."""
        tensors = {name: tensor for name in TENSORS if (tensor := getattr(call, name)) is not None}
        metadata = {name: getattr(call, name) for name in METADATA}
        self.write(metadata, {name: TensorStream.whole(tensor, tensor.dtype) for name, tensor in tensors.items()})

    def write(self, metadata: dict[str, Any], streams: Mapping[str, TensorStream]) -> SeenAttention:
        """Write a call piece by piece, so that it never is in memory as a whole; returns it as it is on disk."""
        path = self.directory / f"{len(self.entries):06d}.safetensors"
        path.unlink(missing_ok=True)  # not overwritten: it may be mapped into memory since a capture that failed
        with path.open("wb") as file:
            file.write(_header(streams))
            for stream in streams.values():
                for piece in stream.pieces:
                    file.write(_raw(piece.to("cpu", stream.dtype)))
        call = SeenAttention(**metadata, **_read_tensors(path, {name: name for name in streams}))
        shape = [*call.weights.shape[:3], call.keys]
        tensors = {name: name for name in streams}
        self.entries.append({**metadata, "shape": shape, "file": path.name, "tensors": tensors})
        return call

    def finish(
        self,
        tokens: list[list[str]] | None = None,
        target_tokens: list[list[str]] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Write attention.json: from now on the directory can be read."""
        index = {
            "format": FORMAT,
            "version": VERSION,
            "program": f"attentio {__version__}",
            "tokens": tokens,
            "target_tokens": target_tokens,
            "notes": list(notes),
            "entries": self.entries,
        }
        beside = self.directory / f"{INDEX}.new"
        with beside.open("w", encoding="utf-8") as file:
            json.dump(index, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.directory / INDEX)


def _header(streams: Mapping[str, TensorStream]) -> bytes:
    """The beginning of a safetensors file; the tensors' bytes follow in this order."""
    described, offset = {}, 0
    for name, stream in streams.items():
        end = offset + math.prod(stream.shape) * stream.dtype.itemsize
        described[name] = {"dtype": _DTYPE_NAMES[stream.dtype], "shape": stream.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _raw(tensor: Tensor) -> Any:
    """The bytes of a tensor, row after row."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data


class Stored(NamedTuple):
    """What a directory holds; tokens and notes as in `Seen`."""

    calls: list[SeenAttention]
    tokens: list[list[str]] | None
    target_tokens: list[list[str]] | None
    notes: list[str]


def read(directory: str | Path) -> Stored:
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
    return Stored(calls, index.get("tokens"), index.get("target_tokens"), index.get("notes", []))


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
    if not isinstance(version, int) or isinstance(version, bool) or version > VERSION:
        raise AttentioError(f"{path} has version {version}, this attentio reads version {VERSION}; update attentio")
    for name in ("tokens", "target_tokens"):
        if not _is_tokens(index.get(name)):
            raise AttentioError(f"{path} is damaged ({name} must be a list of strings for each sequence of the batch)")
    if not _is_strings(index.get("notes", [])):
        raise AttentioError(f"{path} is damaged (notes must be a list of strings); write it again")
    if not isinstance(index.get("entries"), list):
        raise AttentioError(f"{path} is damaged (entries must be a list); write it again")
    return index


def _is_tokens(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_strings, value)))


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _read_entry(directory: Path, entry: dict[str, Any]) -> SeenAttention:
    path = directory / entry["file"]
    if path.parent != directory or path.suffix != ".safetensors":
        raise ValueError(f"file must be the name of a .safetensors file beside {INDEX}, got {entry['file']!r}")
    tensors = _read_tensors(path, entry["tensors"])
    heads = tuple(_whole("heads", head) for head in entry["heads"])
    if len(set(heads)) < len(heads):
        raise ValueError(f"heads must be different ones, got {list(heads)}")
    if not isinstance(entry["name"], str):
        raise ValueError(f"name must be a string, got {entry['name']!r}")
    keys = _whole("keys", entry["keys"])
    _require_consistent(tensors, entry["shape"], heads, keys, path)
    return SeenAttention(
        name=entry["name"],
        call=_whole("call", entry["call"]),
        kind=_self_or_cross(entry["kind"]),
        heads=heads,
        keys=keys,
        q_start=_whole("q_start", entry.get("q_start", 0)),
        alpha=_finite("alpha", entry.get("alpha", 1.0)),
        scale=_finite("scale", entry.get("scale")),
        **tensors,
    )


def _whole(name: str, number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{name} must be whole numbers of at least 0, got {number!r}")
    return number


def _finite(name: str, number: object) -> float | None:
    if number is None:
        return None
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number or null, got {number!r}")
    return number


def _self_or_cross(kind: object) -> SelfOrCross:
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
