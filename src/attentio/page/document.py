"""One HTML file: scripts, styles and texts of the assets, and what is shown as JSON and packed numbers."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from attentio import system

LANGUAGES = ("en", "ko")
FRAME_HEIGHT = 780  # pixels, of a page in a notebook, until it tells its own


@dataclass(frozen=True)
class Page:
    """A page about attention: one HTML file that makes no network request and opens from disk.

    html: the whole file.

    >>> page = at.view(torch.eye(2), ["to", "be"])
    >>> page
    <Page of ... MB; .save(path) writes it>
    >>> page.save("pages/two-words.html").name
    'two-words.html'
    """

    html: str

    def __repr__(self) -> str:
        return f"<Page of {len(self.html.encode()) / 1e6:.1f} MB; .save(path) writes it>"

    def save(self, path: str | Path) -> Path:
        """Write the file whole or not at all, and its folder if need be; return its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        system.replace_text(path, self.html)
        return path

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame that can reach nothing outside itself."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts allow-downloads allow-modals" '
            f'width="100%" height="{FRAME_HEIGHT}" style="border: 0"></iframe><script>{_asset("notebook.js")}</script>'
        )


def document(
    head: dict[str, Any],
    blobs: Mapping[str, str],
    *,
    scripts: Sequence[str],
    styles: Sequence[str],
    strings: Sequence[str],
    language: str | None,
) -> Page:
    """A page of these assets.

    Args:
        head: what its scripts read as JSON; the texts and the language are added.
        blobs: packed numbers, by the names that head uses.
        scripts, styles, strings: names of assets; strings without their language.

    Raises:
        ValueError: the language is another.
    """
    if language not in (None, *LANGUAGES):
        raise ValueError(f"language must be one of {', '.join(map(repr, LANGUAGES))}, or None, got {language!r}")
    script, style = map(text_of, (scripts, styles))
    policy = (
        f"default-src 'none'; script-src {source_of(script)}; style-src {source_of(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    texts = {each: _strings(strings, each) for each in LANGUAGES}
    payload = json.dumps(head | {"language": language, "strings": texts}, ensure_ascii=False, allow_nan=False)
    elements = (f'<script type="text/plain" id="{name}">{text}</script>' for name, text in blobs.items())
    return Page(
        Template(_asset("page.html")).substitute(
            language=language or "en",
            policy=policy,
            title=html.escape(head["title"] or "attentio"),
            style=style,
            payload=payload.replace("<", "\\u003c"),  # `<` could end the script element that the JSON stands in
            blobs="\n".join(elements),
            script=script,
        )
    )


def _strings(names: Sequence[str], language: str) -> dict[str, str]:
    """All strings of a language by their keys."""
    return {key: text for name in names for key, text in json.loads(_asset(f"{name}.{language}.json")).items()}


def text_of(names: Sequence[str]) -> str:
    """Assets, one after the other, as a page has them."""
    return "\n".join(map(_asset, names))


@cache
def _asset(name: str) -> str:
    return files("attentio.page").joinpath("assets", name).read_text(encoding="utf-8")


def source_of(text: str) -> str:
    """The source of a content security policy that lets this text in, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
