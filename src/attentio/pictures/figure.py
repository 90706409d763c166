"""One way to make every picture: a figure with fonts for its texts, saved as PNG or SVG by the suffix."""

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attentio import system
from attentio.errors import AttentioError, extra
from attentio.pictures.fonts import KOREAN, LATIN_AND_IPA, choose_fonts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
DOTS_PER_INCH = 150
LARGEST_SIDE_IN_DOTS = 12_000
INK = "#1f2a44"


@contextmanager
def drawing(path: Path, *, texts: Iterable[str], width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure to draw on, and save it when the block ends.

    The picture is cut to what was drawn, labels outside the figure included. Very large ones are saved at a
    lower resolution. SVG keeps its text as text.

    Args:
        path: of the file, ending in .png or .svg; its folder is made if need be.
        texts: all that will be written, for the choice of fonts.
        width, height: of the figure, in inches.

    Raises:
        AttentioError: another suffix.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise AttentioError(
            f"{path}: a picture is written as {' or '.join(SUFFIXES)}, not {path.suffix or 'without suffix'}"
        )
    with extra("plot"):
        from matplotlib import rc_context
        from matplotlib.figure import Figure

    fonts = choose_fonts(texts)
    settings = {
        "font.family": [*fonts.families, "sans-serif"],
        "font.sans-serif": [LATIN_AND_IPA, *KOREAN],
        "axes.unicode_minus": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "attentio",  # with no date either, equal pictures are equal files
        "text.parse_math": False,  # a token may hold dollar signs
    }
    with rc_context(settings), warnings.catch_warnings():
        # choose_fonts has already said which characters are missing, once and with the remedy.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height))
        yield figure
        picture = io.BytesIO()
        figure.savefig(
            picture,
            format=path.suffix[1:].lower(),
            dpi=min(DOTS_PER_INCH, LARGEST_SIDE_IN_DOTS / max(width, height)),
            bbox_inches="tight",
            pad_inches=0.15,
            metadata={"Date": None} if path.suffix.lower() == ".svg" else None,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        system.replace_bytes(path, picture.getvalue())
