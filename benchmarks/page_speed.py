"""Pages about attention: their size, the seconds until they are drawn, and frames per second while one moves in them.

    python benchmarks/page_speed.py [--seconds 3]

Each page opens from disk in the installed Chromium, without a graphics card. Then, for `seconds` each, one scrolls
along the diagonal at one pixel a cell or more, and zooms in and out. Every frame moves something. Prints a table and
writes `benchmarks/results/page_speed.json`.

What is looked at: causal attention whose weights fall with the distance, in a window, and random everywhere, which
compresses least.
"""

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright
from torch import Tensor

import attentio as at

HERE = Path(__file__).parent

# Before the measurements: note how long each drawing of the heat map takes, of the time between two frames.
WATCH = """() => {
  const { draw } = attentio.heatDrawing;
  window.drawings = [];
  attentio.heatDrawing.draw = (...given) => {
    const began = performance.now(), scene = draw(...given);
    window.drawings.push(performance.now() - began);
    return scene;
  };
}"""
SCROLL = """async (seconds) => {
  const scroller = document.querySelector('.scroller'), times = [];
  const begin = performance.now();
  while (performance.now() - begin < 1000 * seconds) {
    scroller.scrollLeft = (scroller.scrollLeft + 23) % (scroller.scrollWidth - scroller.clientWidth);
    scroller.scrollTop = (scroller.scrollTop + 23) % (scroller.scrollHeight - scroller.clientHeight);
    times.push(await new Promise(requestAnimationFrame));
  }
  return times;
}"""
ZOOM = """async (seconds) => {
  const canvas = document.querySelector('.scroller canvas'), box = canvas.getBoundingClientRect(), times = [];
  const begin = performance.now();
  for (let n = 0; performance.now() - begin < 1000 * seconds; n += 1) {
    const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, ctrlKey: true, bubbles: true };
    canvas.dispatchEvent(new WheelEvent('wheel', { ...at, deltaY: n % 120 < 60 ? -12 : 12, cancelable: true }));
    times.push(await new Promise(requestAnimationFrame));
  }
  return times;
}"""


def falling(size: int) -> Tensor:
    """Causal, and less for what is further away."""
    place = torch.arange(size)
    distance = place[:, None] - place
    scores = torch.randn(size, size) - distance / 80
    return scores.masked_fill(distance < 0, -torch.inf).softmax(-1)


def windowed(size: int) -> Tensor:
    """The 128 tokens on each side."""
    place = torch.arange(size)
    inside = (place[:, None] - place).abs() <= 128
    return torch.randn(size, size).masked_fill(~inside, -torch.inf).softmax(-1)


def everywhere(size: int) -> Tensor:
    return torch.randn(size, size).softmax(-1)


def cases() -> dict[str, Tensor]:
    long = {
        f"4,096 x 4,096, {name}": make(4096)[None]
        for name, make in {"causal": falling, "window": windowed, "random": everywhere}.items()
    }
    heads = torch.randn(12, 12, 128, 128).softmax(-1)
    return {
        "12 layers x 12 heads, 20 x 20": torch.randn(12, 12, 20, 20).softmax(-1),
        "the same, 128 x 128": heads,
        "the same, 512 x 512": torch.randn(12, 12, 512, 512).softmax(-1),
        **long,
    }


def rates(times: list[float]) -> dict[str, float]:
    """Frames per second on the whole, and in the slowest twentieth of the frames."""
    gaps = sorted(after - before for before, after in itertools.pairwise(times))
    slow = gaps[-max(1, len(gaps) // 20) :]
    return {"mean": 1000 * len(gaps) / sum(gaps), "slowest 5 %": 1000 * len(slow) / sum(slow)}


def measure(browser: Any, weights: Tensor, seconds: float) -> dict[str, Any]:
    began = time.perf_counter()
    page = at.view(weights, [f"token {place}" for place in range(weights.shape[-1])])
    making = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        path = page.save(Path(folder, "page.html"))
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        tab.goto(path.as_uri())
        while not tab.evaluate("document.querySelector('.legend')?.width > 300"):
            time.sleep(0.01)
        drawn = time.perf_counter() - began
        found: dict[str, Any] = {"bytes": path.stat().st_size, "making": making, "drawn": drawn}
    if tab.evaluate("document.querySelector('.map').hidden"):
        for _ in range(12):
            tab.get_by_label("Larger").click()
    scale = "parseFloat(document.querySelector('.spacer').style.width) / attentio.app.group().keys"
    while tab.evaluate(scale) < 1:
        tab.get_by_label("Larger").click()
    tab.evaluate(WATCH)
    found["scrolling"] = rates(tab.evaluate(SCROLL, seconds))
    found["zooming"] = rates(tab.evaluate(ZOOM, seconds))
    found["milliseconds of a drawing"] = statistics.median(tab.evaluate("window.drawings"))
    tab.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    results = {}
    print(f"{'':<32}{'page':>9}{'made':>8}{'drawn':>8}{'scrolling':>18}{'zooming':>18}{'drawing':>10}")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        version = browser.version
        for name, weights in cases().items():
            one = results[name] = measure(browser, weights, arguments.seconds)
            print(
                f"{name:<32}{one['bytes'] / 1e6:>6.1f} MB{one['making']:>6.1f} s{one['drawn']:>6.1f} s",
                *(f"{one[way]['mean']:>9.0f} ({one[way]['slowest 5 %']:.0f}) fps" for way in ("scrolling", "zooming")),
                f"{one['milliseconds of a drawing']:>6.1f} ms",
            )
        browser.close()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "chromium": version}
    path = HERE / "results" / "page_speed.json"
    path.write_text(json.dumps({"machine": machine, "pages": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
