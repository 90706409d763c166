"""Files of people's data, and what reading them raises."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from attentio.errors import AttentioError


def written(path: Path, content: bytes | str) -> str:
    """The path, with the content there: compressed where its name says so."""
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def message(read: Callable[..., object], spec: str, **options: object) -> str:
    """The one line that reading raises."""
    with pytest.raises(AttentioError) as caught:
        read(spec, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
