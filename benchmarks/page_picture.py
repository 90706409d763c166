"""A picture of a page, for its documentation.

    attentio look RUN "a man in a blue shirt is standing on a ladder ." --out page.html
    python benchmarks/page_picture.py page.html docs/images/page.png [--keys "ArrowDown ArrowDown Enter"]

The page is opened in the installed Chromium, `keys` are pressed in its heat map or another tab, and its first screen is
saved.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--tab", default="heat")
    parser.add_argument("--keys", default="", help="separated by spaces")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        theme: Literal["dark", "light"] = "dark" if arguments.dark else "light"
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=theme, locale="en-US")
        tab.goto(arguments.page.resolve().as_uri())
        tab.locator(f"#tab-{arguments.tab}").click()
        tab.wait_for_timeout(500)
        if arguments.keys:
            if arguments.tab == "heat":
                tab.locator("#panel-heat [role=application]").focus()
            else:
                tab.evaluate("document.activeElement.blur()")
            for key in arguments.keys.split():
                tab.keyboard.press(key)
            tab.evaluate("document.activeElement.blur()")
        tab.wait_for_timeout(300)
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
