"""docs/images/page*.png: the page as the documents show it, at two widths, light and dark, in both languages.

python docs/making/screenshots.py        takes them anew, in an installed Chromium; a Korean font must be there
"""

import shutil
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright

import attentio as at
from attentio.page.document import Page
from attentio.page.workshop import workshop

FOLDER = Path(__file__).parents[1] / "images"
COLOURS = 256  # of a palette, which makes a picture a third as large
WIDE, PHONE = (1280, 800), (390, 844)


class Shot(NamedTuple):
    """One picture. steps: what is done first, in the page's own words."""

    name: str
    page: str
    size: tuple[int, int] = WIDE
    dark: bool = False
    korean: bool = False
    steps: str = ""


SHOTS = [
    Shot("page", "masked"),
    Shot("page-dark-ko", "korean", dark=True, korean=True),
    Shot("page-phone", "dates", PHONE),
    Shot("page-phone-dark-ko", "masked", PHONE, dark=True, korean=True),
    Shot("page-compare", "compared", steps="attentio.app.set({view: 'compare'})"),
    Shot(
        "page-together",
        "masked",
        steps="attentio.app.set({view: 'arcs', layer: 1, head: 1, row: 4, column: null,"
        " together: [[1, 1, 0], [1, 2, 1], [1, 0, 2]]})",
    ),
    Shot("page-erase", "dates", steps="attentio.app.set({view: 'erase'})"),
    Shot("page-lecture", "dates", (1280, 720), steps="attentio.app.set({lecture: true})"),
    Shot(
        "page-steps",
        "luong",
        steps="attentio.app.set({view: 'steps'}); setTimeout(() => {"
        "document.querySelector('.steps .all').click();"
        "document.querySelector('[data-stage=normalize] > button').click(); }, 300)",
    ),
    Shot("page-workshop", "workshop"),
]


def pages() -> dict[str, Page]:
    """What the pictures show, all of models that come along."""
    text = "The old man took his hat and left the room ."
    masked = at.load("masked-lm", device="cpu").inspect(text)
    other = at.load("masked-lm", device="cpu").inspect(text.replace("his", "her"))
    both = {"his": masked.seen, "her": other.seen}
    return {
        "masked": masked.page(),
        "korean": at.load("korean-pronunciation", device="cpu").inspect("독립문앞에서").page(),
        "dates": at.load("dates-transformer", device="cpu").inspect("14 March 2026").page(),
        "luong": at.load("dates-luong", device="cpu").inspect("14 March 2026").page(),
        "compared": at.view(both, masked.tokens, title="What “her” changes, where “his” stood"),
        "workshop": workshop(),
    }


def main() -> None:
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        paths = {name: page.save(Path(folder) / f"{name}.html") for name, page in pages().items()}
        for shot in SHOTS:
            tab = chromium.new_page(
                viewport={"width": shot.size[0], "height": shot.size[1]},
                color_scheme="dark" if shot.dark else "light",
                locale="ko-KR" if shot.korean else "en-US",
            )
            tab.goto(paths[shot.page].as_uri())
            tab.evaluate(shot.steps or "0")
            tab.wait_for_timeout(1000)
            write(tab, FOLDER / f"{shot.name}.png")
            tab.close()
        chromium.close()


def write(tab: Any, path: Path) -> None:
    """The screen in few colours."""
    picture = Image.open(BytesIO(tab.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
