"""Data of several files, each with a tag: `de=de.tsv+fr=fr.tsv`."""

import re
from pathlib import Path

from attentio.errors import AttentioError

_TAG = re.compile(r"\s*([\w.;-]+)=")
_BETWEEN = re.compile(r"\+(?=\s*[\w.;-]+=)")


def tagged(spec: str) -> dict[str, str]:
    """The specification of each tag; none of any other specification, such as a file that has such a name.

    Raises AttentioError for a tag without a file, or one that is there twice.
    """
    if Path(spec).exists():
        return {}
    if not _TAG.match(spec):
        files = spec.split("+")
        if len(files) > 1 and all(Path(file).is_file() for file in files):
            raise AttentioError(f"{spec}: several files need tags; write TAG={'+TAG='.join(files)}, or join them")
        return {}
    parts: dict[str, str] = {}
    for part in _BETWEEN.split(spec):
        found = _TAG.match(part)
        rest = part[found.end() :].strip() if found else ""
        if found is None or not rest:
            raise AttentioError(f"{spec}: {part.strip()!r} is no TAG=FILE; write TAG=FILE+TAG=FILE")
        if found[1] in parts:
            raise AttentioError(f"{spec}: the tag {found[1]} is there twice; join its files")
        parts[found[1]] = rest
    return parts
