"""at.view: the attention that was seen, as one HTML file."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from torch import Tensor

from attentio.inspection.page.payload import build, calls_of

LANGUAGES = ("en", "ko")
# app.js first; the order of the others is the order of the tabs.
SCRIPTS = ("app.js", "data.js", "heat.js", "steps.js", "workshop.js")


@dataclass(frozen=True)
class Page:
    """A page about attention: one HTML file without any network request.

    html: the whole file.
    """

    html: str

    def save(self, path: str | Path) -> Path:
        """Write the file, its folder too if need be; return its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        """The page within a notebook, in a frame of its own that can reach nothing of the notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts allow-downloads" '
            'width="100%" height="760" style="border:0"></iframe>'
        )


def view(
    seen: Sequence[Any] | Tensor,
    tokens: Sequence[str],
    *,
    target_tokens: Sequence[str] | None = None,
    title: str = "",
    language: str | None = None,
) -> Page:
    """A page that shows the attention."""
    calls = calls_of(seen, cross=target_tokens is not None) if isinstance(seen, Tensor) else list(seen)
    strings = {each: json.loads(_asset(f"strings.{each}.json")) for each in LANGUAGES}
    payload = build(calls, tokens, target_tokens, title=title, strings=strings, language=language)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    style = _asset("page.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return Page(
        Template(_asset("page.html")).substitute(
            language=language or "en",
            policy=policy,
            title=html.escape(title or "attentio"),
            style=style,
            payload=payload.head,
            blobs="\n".join(
                f'<script type="text/plain" id="{name}">{text}</script>' for name, text in payload.blobs.items()
            ),
            script=script,
        )
    )


def _asset(name: str) -> str:
    return files("attentio.inspection.page").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression of a content security policy that lets this text, and no other, in."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
