"""Our page of attention beside BertViz's `head_view` and `model_view`: seconds to write, size, seconds until drawn.

    python benchmarks/page_beside_bertviz.py [--tokens 32 128 512] [--repeats 3] [--limit 120] [--work build/bench]

All show the same weights, of BERT-base's shape: 12 layers of 12 heads. They are the softmax of random scores, which
compress least. Each page is written by a fresh process, of which `peer_side/attention_page.py` says what is timed, and
opened from disk in the installed Chromium, without a graphics card. It counts as drawn once all that it shows at first
is there (the legend of the heat map in ours, the lines of a layer in `head_view`, those of the model in `model_view`)
and a picture of the window has been taken. The pages alternate; the median of the repeats is shown, and the JSON has
all of them.

BertViz's pages load three scripts from the network. Here those come from npm and are there at once: neither the time
of a network nor their size counts. A page that is not drawn within `limit` seconds, or that the browser gives up, is
told as such, and not opened again.

Needs npm, and for 512 tokens some 10 GB of memory and a quarter of an hour, with the machine for itself. Prints a
table in Markdown, writes `benchmarks/results/page_beside_bertviz.json`.
"""

import argparse
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from playwright.sync_api import Error, TimeoutError, sync_playwright

HERE = Path(__file__).parent
WRITER = HERE / "peer_side" / "attention_page.py"
LAYERS, HEADS = 12, 12

THERE = {
    "attentio": "document.querySelector('.legend')?.width > 300",
    "head_view": "document.querySelectorAll('#attention line').length === {heads} * {tokens} ** 2",
    "model_view": "document.querySelectorAll('line').length === {layers} * {heads} * {tokens} ** 2",
}
"""What holds once all is there that a view shows at first."""

SCRIPTS = {
    "require.js/2.3.6/require.min.js": ("requirejs@2.3.6", "requirejs/require.js"),
    "jquery/2.0.0/jquery.min.js": ("jquery@2.1.0", "jquery/dist/jquery.min.js"),
    "d3/5.7.0/d3.min.js": ("d3@5.7.0", "d3/dist/d3.min.js"),
}
"""What BertViz's pages load: the npm package that has it, and where."""


def scripts(folder: Path) -> dict[str, bytes]:
    """What each address gives, by its end."""
    packages = [package for package, _ in SCRIPTS.values()]
    subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", folder, *packages], check=True)
    return {end: (folder / "node_modules" / place).read_bytes() for end, (_, place) in SCRIPTS.items()}


def write(python: Path, view: str, weights: Path, page: Path) -> float:
    """Seconds."""
    done = subprocess.run([python, WRITER, view, weights, page], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{view}: {done.stderr[-2000:]}")
    return float(done.stdout)


def draw(start: Callable[[], Any], page: Path, there: str, loaded: dict[str, bytes], limit: float) -> float | str:
    """Seconds until the page is drawn, or why it was not. It has a browser of its own, which it may bring down."""

    def answer(route: Any) -> None:
        route.fulfill(body=next(body for end, body in loaded.items() if route.request.url.endswith(end)))

    browser = start()
    try:
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.set_default_timeout(1000 * limit)
        tab.route(re.compile("^https:"), answer)
        began = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_function(there)
        tab.screenshot()
        return time.perf_counter() - began
    except Error as error:
        return "not in time" if isinstance(error, TimeoutError) else "given up"
    finally:
        browser.close()


def middle(values: Sequence[float | str]) -> str:
    """The median in seconds, or why there is none."""
    seconds = [value for value in values if isinstance(value, float)]
    return f"{statistics.median(seconds):.1f} s" if len(seconds) == len(values) else str(values[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    given = parser.parse_args()
    work = (given.work / "pages").resolve()
    work.mkdir(parents=True, exist_ok=True)
    (given.work / "envs").mkdir(exist_ok=True)
    theirs = peers.environment("bertviz", (given.work / "envs").resolve())
    pythons = {"attentio": Path(sys.executable), "head_view": theirs, "model_view": theirs}
    loaded = scripts(work)
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    results: dict[int, dict[str, Any]] = {}
    print("| tokens | page | written in | size | opened and drawn in |", "|--:|---|--:|--:|--:|", sep="\n")
    with sync_playwright() as playwright:
        start = partial(playwright.chromium.launch, executable_path=program, args=flags)
        for tokens in given.tokens:
            weights, page = work / "weights.npy", work / "page.html"
            torch.manual_seed(tokens)
            np.save(weights, torch.randn(LAYERS, HEADS, tokens, tokens).softmax(-1).numpy())
            found = results[tokens] = {view: {"written": [], "bytes": 0, "drawn": []} for view in THERE}
            for _, (view, one) in itertools.product(range(given.repeats), found.items()):
                one["written"].append(write(pythons[view], view, weights, page))
                one["bytes"] = page.stat().st_size
                if all(isinstance(seconds, float) for seconds in one["drawn"]):
                    there = THERE[view].format(layers=LAYERS, heads=HEADS, tokens=tokens)
                    one["drawn"].append(draw(start, page, there, loaded, given.limit))
            for view, one in found.items():
                size = f"{one['bytes'] / 1e6:,.1f} MB"
                print(f"| {tokens} | {view} | {middle(one['written'])} | {size} | {middle(one['drawn'])} |", flush=True)
        browser = start()
        version = browser.version
        browser.close()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "chromium": version}
    versions = peers.versions(theirs, ("bertviz", "torch"))
    content = {"machine": machine, "versions": versions, "limit": given.limit, "tokens": results}
    path = HERE / "results" / "page_beside_bertviz.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
