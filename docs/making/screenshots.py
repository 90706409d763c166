"""docs/images/page*.png, serve.png: the pages as the documents show them, in two widths, themes and languages.

python docs/making/screenshots.py [NAME ..]     takes them anew, in an installed Chromium; a Korean font must be there
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright

import attentio as at
from attentio.commands.main import main as attentio
from attentio.page.document import Page
from attentio.page.over_time import over_time
from attentio.page.workshop import workshop
from attentio.runs.watched import over_time as kept

FOLDER = Path(__file__).parents[1] / "images"
COLOURS = 256  # of a palette, which makes a picture a third as large
WIDE, PHONE = (1280, 800), (390, 844)


class Shot(NamedTuple):
    """One picture. page: of `pages`, or SERVED. steps: what is done first, in the page's own words."""

    name: str
    page: str
    size: tuple[int, int] = WIDE
    dark: bool = False
    korean: bool = False
    steps: str = ""


SERVED = "dates-luong"
"""The run whose front page is shown."""

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
    Shot("page-over-time", "forming", (1280, 1000), steps="document.querySelector('.play').scrollIntoView()"),
    Shot(
        "serve",
        SERVED,
        (1280, 1000),
        steps="document.querySelector('[value=replace]').click();"
        "Object.assign(document.getElementById('token'), {value: '7'});"
        "document.querySelectorAll('#tokens button')[1].click(); scrollTo(0, 0)",
    ),
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
        "forming": forming(),
    }


def forming() -> Page:
    """A minute of training, watched."""
    options = {"max_steps": 400, "watch": 1, "validate_every": 40, "validation_size": 20, "samples": 0}
    with TemporaryDirectory() as folder:
        run = Path(folder) / "dates"
        given = [word for name, value in options.items() for word in (f"--training.{name}", str(value))]
        assert attentio(["train", "luong", "--run", str(run), "--model.hidden", "128", *given]) == 0
        return over_time(dict(kept(run)), begin="<s>", title="dates")


@contextmanager
def served() -> Iterator[str]:
    """The address of its front page."""
    command = [sys.executable, "-m", "attentio", "serve", SERVED, "--page", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split(" at ")[1].split()[0]
        server.terminate()


def main(*names: str) -> None:
    with sync_playwright() as playwright, TemporaryDirectory() as folder, served() as address:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        urls = {name: page.save(Path(folder) / f"{name}.html").as_uri() for name, page in pages().items()}
        urls[SERVED] = address
        for shot in [shot for shot in SHOTS if not names or shot.name in names]:
            tab = chromium.new_page(
                viewport={"width": shot.size[0], "height": shot.size[1]},
                color_scheme="dark" if shot.dark else "light",
                locale="ko-KR" if shot.korean else "en-US",
            )
            tab.goto(urls[shot.page])
            if shot.page == SERVED:
                tab.locator("#tokens button").first.wait_for()
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
    main(*sys.argv[1:])
