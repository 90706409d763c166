"""A bundle's file: a zip of a few known entries, held in memory and never extracted. Light to import.

What a stranger's zip says of itself is looked at first: how many entries, their names and sizes. Then each that is read
must have the SHA-256 that `sums.json` gives for it.
"""

import hashlib
import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from attentio.errors import AttentioError
from attentio.files import check_regular, parse_json

CONFIG, CARD, WEIGHTS = "config.yaml", "card.json", "model.safetensors"
TOKENIZERS = ("tokenizer/source.json", "tokenizer/target.json")
SUMS = "sums.json"
FORMAT = 1

_MOST = {CONFIG: 2**17, CARD: 2**17, SUMS: 2**14, **dict.fromkeys(TOKENIZERS, 2**28), WEIGHTS: 2**31}
"""Bytes of each entry that there may be."""

_NEEDED = {CONFIG, CARD, SUMS, TOKENIZERS[0], WEIGHTS}
_LARGEST = 2**31
_MOST_ENTRIES = 50  # more than there are, so that a strange one is called by its name
_ALWAYS_FINE = 2**25  # bytes, unpacked; beyond them, no more than so many times the file's size
_TIMES = 30
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every entry: the same content makes the same file


def pack(entries: Mapping[str, bytes]) -> bytes:
    """The zip of these entries and their sums, always the same for the same entries."""
    sums = {"format": FORMAT, "sha256": {name: _hash(content) for name, content in entries.items()}}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in {**entries, SUMS: (json.dumps(sums, indent=1) + "\n").encode()}.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return file.getvalue()


def unpack(path: Path, *wanted: str) -> dict[str, bytes]:
    """The wanted entries of a bundle, all if none are named; the sums are not among them.

    Raises:
        AttentioError: it is no bundle, is damaged or altered, or would unpack to more than a bundle holds.
    """
    check_regular(path, most=_LARGEST)
    try:
        with path.open("rb") as file:
            _check_ending(file, path)
            with zipfile.ZipFile(file) as archive:
                infos = _checked(archive.infolist(), path.stat().st_size, path)
                sums = _sums(archive.read(infos.pop(SUMS)), path)
                if sums.keys() != infos.keys():
                    raise AttentioError(f"{path}: {SUMS} does not name the entries that are there; {_REMEDY}")
                found = {name: archive.read(info) for name, info in infos.items() if not wanted or name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise AttentioError(f"{path}: damaged ({error or type(error).__name__}); {_REMEDY}") from None
    for name, content in found.items():
        if _hash(content) != sums[name]:
            raise AttentioError(f"{path}: {name} has been altered since the bundle was written; {_REMEDY}")
    return found


def is_bundle(path: Path) -> bool:
    """Whether a path is that of a zip."""
    return path.is_file() and zipfile.is_zipfile(path)


_REMEDY = "copy it again, or write it again with `attentio export RUN --to bundle`"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_ending(file: io.BufferedReader, path: Path) -> None:
    """A zip ends in how many entries it has, and how long their list is: looked at before that list is read."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 42))
    ending = file.read()
    if len(ending) < 42 or ending[-22:-18] != b"PK\x05\x06" or ending[:4] == b"PK\x06\x07":  # the latter: ZIP64
        raise AttentioError(f"{path} is not a bundle, which is a zip that `attentio export RUN --to bundle` writes")
    entries, length = struct.unpack("<10xHL6x", ending[-22:])
    if entries > _MOST_ENTRIES or length > 2**14:
        raise AttentioError(f"{path}: {entries:,} entries, more than a bundle has; {_REMEDY}")


def _checked(infos: list[zipfile.ZipInfo], size: int, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, when all are ordinary files of a bundle and none unpacks to more than it may."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
        if name not in _MOST:
            raise AttentioError(f"{path}: {name[:60]!r} is no part of a bundle; {_REMEDY}")
        if name in found:
            raise AttentioError(f"{path}: {name} is there twice; {_REMEDY}")
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
            raise AttentioError(f"{path}: {name} is a link, a device or encrypted, not an ordinary file; {_REMEDY}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise AttentioError(f"{path}: {name} is compressed by another method than deflate; {_REMEDY}")
        if info.file_size > _MOST[name]:
            raise AttentioError(f"{path}: {name} unpacks to {info.file_size:,} bytes, more than it may; {_REMEDY}")
        found[name] = info
    if missing := sorted(_NEEDED - found.keys()):
        raise AttentioError(f"{path} is not a whole bundle: {missing[0]} is missing; {_REMEDY}")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > max(_ALWAYS_FINE, _TIMES * size):
        raise AttentioError(f"{path}: {size:,} bytes that unpack to {unpacked:,}, more than a bundle's; {_REMEDY}")
    return found


def _sums(content: bytes, path: Path) -> dict[str, str]:
    said = parse_json(content, path / SUMS)
    if said.get("format") != FORMAT or not isinstance(said.get("sha256"), dict):
        raise AttentioError(
            f"{path}: written in a format that this attentio does not know; update attentio, or {_REMEDY}"
        )
    return dict(said["sha256"])
