"""A real Chromium for the tests of pages: started for each file, off the network, failing on any request or error.

Debian's (or any installed) Chromium runs through playwright. Where one of them is missing, tests skip and say so.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # its event loop runs as long, and other tests have their own
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed (on Debian: make browser, as root)")
    with playwright.sync_playwright() as started:
        # Chromium's sandbox refuses to run as root, which is who one is in a container.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = started.chromium.launch(executable_path=program, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """open_page(page, **options): a browser tab with this Page (or HTML text), opened from disk.

    Options are those of playwright's new_context (color_scheme="dark", viewport={..}). When the test ends it
    fails if the tab asked for anything but the file itself, or wrote an error or a warning to the console, which
    violations of the content security policy do.
    """
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(page: Any, **options: Any) -> Any:
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(getattr(page, "html", page), encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **options})
        contexts.append(context)
        context.set_offline(True)
        context.set_default_timeout(60_000)
        tab = context.new_page()

        def request(each: Any) -> None:
            if each.url != path.as_uri() and not each.url.startswith(("data:", "blob:")):
                complaints.append(f"asked for {each.url}")

        def console(each: Any) -> None:
            if each.type in ("error", "warning"):
                complaints.append(f"console: {each.text}")

        tab.on("request", request)
        tab.on("console", console)
        tab.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        tab.goto(path.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert not complaints, complaints
