"""The mask workshop: a page on which masks are built, and what each does is seen at once."""

from typing import Literal

from attentio.page.document import Page, document
from attentio.pictures.colours import RAMPS

SENTENCE = "the cat sat on the mat because it was tired"

SCRIPTS = (
    *("app.js", "data.js", "colours.js", "pen.js", "masks.js", "arithmetic.js"),
    *("grids_picture.js", "grids.js", "workshop_terms.js", "workshop_picture.js", "workshop.js"),
    *("framed.js", "frame.js"),
)
STYLES = ("page.css", "workshop.css")
STRINGS = ("strings", "workshop")


def workshop(text: str = SENTENCE, keys: str = "", *, language: Literal["en", "ko"] | None = None) -> Page:
    """The page; its sentence can be changed there.

    Args:
        text: words with white space between them, the queries and, without `keys`, the keys.
        keys: another sentence, for attention to it.
        language: to begin with; None: the reader's.
    """
    head = {
        "title": "",
        "groups": [],
        "items": 1,
        "tokens": {},
        "notes": [],
        "ramps": {theme: ramp.tolist() for theme, ramp in RAMPS.items()},
        "workshop": {"text": text, "keys": keys},
    }
    return document(head, {}, scripts=SCRIPTS, styles=STYLES, strings=STRINGS, language=language)
