"""Installed fonts that can draw a text: Latin and IPA, Hangul, and whatever else the tokens need."""

import importlib.util
import logging
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger(__name__)

# Comes with matplotlib and covers Latin, Greek, Cyrillic and the IPA.
LATIN_AND_IPA = "DejaVu Sans"

# In order of preference. SVG names them all, since the reader's machine may have others than the writer's.
KOREAN = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "UnDotum",
    "Baekmuk Dotum",
)


class FontChoice(NamedTuple):
    """families: to be tried in this order for each character. missing: characters that none of them has."""

    families: list[str]
    missing: str


def choose_fonts(texts: Iterable[str]) -> FontChoice:
    """The fewest installed font families, preferred ones first, that have every character of the texts.

    Characters that no installed font has are reported once, in the log, with the remedy.
    """
    needed = {character for text in texts for character in text if not character.isspace()}
    families = [LATIN_AND_IPA]
    for family, file in _candidates():
        covered = {character for character in needed if ord(character) in _codepoints(file)}
        if covered and family not in families:
            families.append(family)
        needed -= covered
        if not needed:
            break
    missing = "".join(sorted(needed))
    if missing:
        logger.warning(
            "no installed font has the characters %s: install one that does (for Korean: "
            "pip install 'attentio[plot]', or your system's Noto Sans CJK or Nanum fonts)",
            " ".join(missing[:12]) + (" …" if len(missing) > 12 else ""),
        )
    return FontChoice(families, missing)


def _candidates() -> Iterator[tuple[str, str]]:
    """Upright font families and their files: preferred ones, the packaged one, then all others."""
    from matplotlib import font_manager

    installed: dict[str, str] = {}
    for entry in font_manager.fontManager.ttflist:
        # matplotlib's font of last resort has a placeholder for every character, and so a letter for none.
        if entry.style == "normal" and not entry.name.startswith("Last Resort"):
            installed.setdefault(entry.name, entry.fname)
    for family in (LATIN_AND_IPA, *KOREAN):
        if family in installed:
            yield family, installed[family]
    packaged = _packaged_korean_font()
    if packaged is not None and "NanumGothic" not in installed:
        font_manager.fontManager.addfont(packaged)
        yield "NanumGothic", str(packaged)
    yield from sorted(installed.items())


def _packaged_korean_font() -> Path | None:
    """The font file in the package koreanize-matplotlib, which is not imported: doing so changes settings."""
    spec = importlib.util.find_spec("koreanize_matplotlib")
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0], "fonts", "NanumGothic.ttf")
    return file if file.is_file() else None


@cache
def _codepoints(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        # Of a collection (.ttc) this reads the first face; its faces differ in style, not in coverage.
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # a bitmap font, or a font that has gone since the list was made
        return frozenset()
