"""The front page: a text is typed, and below it stands the page about what the model made of it.

It asks this server by its script, and shows each answer in a frame. Its content security policy, which holds in the
frame as well, lets in nothing but what was written here, and nothing be asked but this server; what people type, and
what a model says, is shown, never run.
"""

import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Literal, cast

from starlette.responses import HTMLResponse

from attentio.errors import AttentioError
from attentio.page.document import LANGUAGES, source_of, text_of
from attentio.page.page import SCRIPTS, STYLES

Language = Literal["en", "ko"]

LONGEST_SHOWN = 1_000
"""Characters of a text on the page, where every token's look at every other is kept."""


def language_of(fields: Mapping[str, Any], headers: Mapping[str, str]) -> Language:
    """What the request asks for; else what the browser prefers. AttentioError for a language that there is not."""
    asked = fields.get("language")
    if asked is None:
        return "ko" if headers.get("accept-language", "").lower().startswith("ko") else "en"
    if asked not in LANGUAGES:
        raise AttentioError(f"language must be {' or '.join(LANGUAGES)}, got {asked!r}")
    return cast(Language, asked)


def front_page(
    *, name: str, kind: str, language: Language, examples: Sequence[str], featured: bool = False
) -> HTMLResponse:
    """The page. name: of the run. kind: of its model, such as encoder-decoder. examples: texts to try it with.

    featured: whether it asks for features of the text too.
    """
    style = text_of(["page.css"]) + _asset("front.css")
    script = "\n".join(map(_asset, ("words.js", "change.js", "front.js")))
    given = {
        "kind": kind,
        "language": language,
        "examples": list(examples),
        "featured": featured,
        "strings": json.loads(_asset("strings.json")),
    }
    text = Template(_asset("front.html")).substitute(
        language=language,
        title=html.escape(name),
        longest=LONGEST_SHOWN,
        style=style,
        payload=json.dumps(given, ensure_ascii=False).replace("<", "\\u003c"),
        script=script,
    )
    scripts, styles = ((source_of(own), source_of(text_of(its))) for own, its in ((script, SCRIPTS), (style, STYLES)))
    policy = (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src {' '.join(styles)}; connect-src 'self'; "
        "frame-src blob:; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@cache
def _asset(name: str) -> str:
    return files("attentio.serving").joinpath("assets", name).read_text(encoding="utf-8")
