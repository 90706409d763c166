"""The live page: a form, and below it the page about what the model made of the text.

The form is sent to /look and its answer shown in a frame, which needs no script. Both pages carry a content security
policy that lets in nothing but what was written here; what people type is shown, never run.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from string import Template
from typing import Any, Literal, cast

from starlette.responses import HTMLResponse

from attentio.errors import AttentioError
from attentio.page.document import LANGUAGES

Language = Literal["en", "ko"]

LONGEST_SHOWN = 1_000
"""Characters of a text on the page, where every token's look at every other is kept."""

IN_A_FRAME = "frame-ancestors 'self'"
"""What the server adds to the policy that a page about attention has of its own: others may not frame it."""


def language_of(fields: Mapping[str, Any], headers: Mapping[str, str]) -> Language:
    """What the request asks for; else what the browser prefers. AttentioError for a language that there is not."""
    asked = fields.get("language")
    if asked is None:
        return "ko" if headers.get("accept-language", "").lower().startswith("ko") else "en"
    if asked not in LANGUAGES:
        raise AttentioError(f"language must be {' or '.join(LANGUAGES)}, got {asked!r}")
    return cast(Language, asked)


def form_page(*, title: str, kind: str, language: Language) -> HTMLResponse:
    """The form. kind: of the model: encoder-decoder, masked-lm or causal-lm."""
    strings, other = _strings()[language], "en" if language == "ko" else "ko"
    style, script = _asset("live.css"), _asset("live.js")
    shown = {name: strings[name] for name in ("waiting", "done", "result")} | strings[kind] | {"title": title}
    text = Template(_asset("live.html")).substitute(
        {name: html.escape(value) for name, value in shown.items()},
        language=language,
        other=other,
        other_name=_strings()[other]["name"],
        longest=LONGEST_SHOWN,
        style=style,
        script=script,
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return page_reply(text, policy=policy)


def failure_page(status: HTTPStatus, message: str) -> HTMLResponse:
    """What the frame shows instead of a result."""
    said = " · ".join(strings["failed"] for strings in _strings().values())
    text = (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(said)}</title><main role=alert>"
        f"<h1>{html.escape(said)}</h1><p>{html.escape(message)}</p></main>"
    )
    return page_reply(text, status, policy=f"default-src 'none'; {IN_A_FRAME}")


def page_reply(text: str, status: HTTPStatus = HTTPStatus.OK, *, policy: str) -> HTMLResponse:
    """A page with its content security policy."""
    return HTMLResponse(text, status, {"Content-Security-Policy": policy})


@cache
def _strings() -> dict[str, Any]:
    return dict(json.loads(_asset("strings.json")))


@cache
def _asset(name: str) -> str:
    return files("attentio.serving").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
