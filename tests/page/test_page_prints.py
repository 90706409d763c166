"""What is wider or longer than a screen is whole on paper."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from page_cases import attention, drawn, settled
from untrained_runs import untrained

from attentio.capturing.seen import Seen
from attentio.page.evidence import Evidence, Lens
from attentio.page.over_time import over_time
from attentio.page.page import Page, view

Open = Callable[..., Any]
SHEET = 640


def page(length: int) -> Page:
    return view(torch.randn(2, 3, length, length).mul(2).softmax(-1).half(), [f"w{number}" for number in range(length)])


def on_paper(open_page: Open, panel: str, length: int) -> Any:
    tab = open_page(page(length))
    tab.set_viewport_size({"width": 1280, "height": 800})
    tab.click(f"#tab-{panel}")
    tab.locator(f"#panel-{panel} canvas").first.wait_for()
    settled(tab)
    tab.evaluate("attentio.app.set({theme: 'light', paper: true})")
    settled(tab)
    return tab


@pytest.mark.parametrize("panel", ["arcs", "compare"])
def test_a_view_is_no_wider_than_a_sheet(open_page: Open, panel: str, seed: int) -> None:
    tab = on_paper(open_page, panel, 12)
    widths = tab.evaluate(f"[...document.querySelectorAll('#panel-{panel} canvas')].map(one => one.clientWidth)")
    assert max(widths) <= SHEET
    tab.evaluate("attentio.app.set({paper: false})")
    settled(tab)
    widths = tab.evaluate(f"[...document.querySelectorAll('#panel-{panel} canvas')].map(one => one.clientWidth)")
    assert max(widths) > SHEET


def test_all_tokens_of_the_arcs_are_printed(open_page: Open, seed: int) -> None:
    tab = on_paper(open_page, "arcs", 150)
    height = tab.evaluate(
        "Math.max(...[...document.querySelectorAll('#panel-arcs canvas')].map(one => one.clientHeight))"
    )
    assert height > 150 * 20
    assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf(format="A4"))) > 2


def test_grids_that_are_compared_stand_below_one_another(open_page: Open, seed: int) -> None:
    tab = on_paper(open_page, "compare", 12)
    corners = tab.evaluate(
        "attentio.gridsPicture.layout({...attentio.compare.scene(),"
        " width: document.querySelector('#panel-compare .grids canvas').clientWidth}).corners"
    )
    assert len({x for x, _ in corners}) == 1
    assert len({y for _, y in corners}) == len(corners)


def test_all_columns_of_the_layers_are_printed(open_page: Open, seed: int) -> None:
    said = [f"word{number}" for number in range(30)]
    best = [[[(token, 0.9), ("other", 0.1)] for token in said] for _ in range(2)]
    lens = Lens(said, said, best, torch.rand(2, 30))
    tab = open_page(
        view(torch.rand(1, 2, 30, 5).softmax(-1), list("abcde"), target_tokens=said, evidence=Evidence(lens=lens))
    )
    tab.set_viewport_size({"width": 1280, "height": 800})
    tab.click("#tab-lens")
    grid = tab.locator(".lens")
    grid.locator("[role=gridcell]").first.wait_for()
    width = "one => one.getBoundingClientRect().width"
    assert grid.evaluate(width) > 1280
    tab.evaluate("attentio.app.set({paper: true})")
    assert grid.evaluate(width) <= SHEET + 1
    tab.evaluate("attentio.app.set({paper: false})")
    assert grid.evaluate(width) > 1280


def printed(tab: Any) -> Any:
    """As a printer is given it: what the page does before, on the screen, then the rules for paper."""
    tab.set_viewport_size({"width": 1280, "height": 800})
    settled(tab)
    tab.evaluate("attentio.app.set({theme: 'light', paper: true})")
    settled(tab)
    tab.emulate_media(media="print")
    return tab


def cut(tab: Any, frames: str) -> list[str]:
    """The frames that hide a part of what is in them on a sheet, or what stands beside them."""
    return tab.evaluate(
        """frames => {
          document.documentElement.style.width = "700px"; // a printer asks no script to lay out anew
          return [...document.querySelectorAll(frames)].filter((one) => one.clientWidth).filter((one) => {
            const rest = one.nextElementSibling?.getBoundingClientRect(), box = one.getBoundingClientRect();
            const right = box.left + one.scrollWidth, beside = rest?.width && rest.top < box.bottom - 1;
            const hides = one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1;
            const hidden = hides && getComputedStyle(one).overflowX !== "visible";
            return hidden || (beside && rest.left < right - 1) || right > 701;
          }).map((one) => `${one.className} ${one.scrollWidth} x ${one.scrollHeight}`);
        }""",
        frames,
    )


def test_the_heat_map_does_not_cover_what_stands_beside_it(open_page: Open, seed: int) -> None:
    tab = open_page(page(40))
    tab.evaluate("attentio.app.set({row: 3, column: 5})")
    assert not cut(printed(tab), "#panel-heat .beside > .framed")


def test_all_keys_of_the_equation_are_printed(open_page: Open, seed: int) -> None:
    parts = drawn(queries=60, keys=60)
    tokens = [f"w{number}" for number in range(60)]
    tab = open_page(view(Seen([attention(**parts)], tokens=[tokens])))
    tab.click("#tab-steps")
    tab.get_by_role("button", name="Show all").click()
    tab.locator(".equation [data-stage=aggregate] > button").click()
    tab.locator(".keys tbody tr").nth(50).wait_for(state="attached")
    printed(tab).set_viewport_size({"width": 700, "height": 1000})  # for the rules of narrow pages
    assert not cut(tab, ".steps .framed")


def test_what_erasing_a_head_does_is_printed_whole(open_page: Open, seed: int) -> None:
    run = untrained(encoder="transformer", decoder="transformer", decoder_layers=2)
    tab = open_page(run.inspect("abcd").page())
    tab.click("#tab-erase")
    tab.locator(".erase tbody tr").first.wait_for()
    assert not cut(printed(tab), "#panel-erase .beside > .framed")


def test_a_training_over_time_is_no_wider_than_a_sheet(open_page: Open, seed: int) -> None:
    parts = drawn(queries=9, keys=60)
    seen = {
        step: Seen([attention(kind="cross", **parts)], tokens=[["w"] * 60], target_tokens=[["v"] * 9])
        for step in (0, 50)
    }
    tab = open_page(over_time(seen, begin="<s>", title="A run"))
    tab.locator("#panel-time canvas.curves").wait_for()
    widths = "[...document.querySelectorAll('#panel-time canvas')].map(one => one.clientWidth)"
    tab.set_viewport_size({"width": 1280, "height": 800})
    settled(tab)
    assert max(tab.evaluate(widths)) > SHEET
    assert max(printed(tab).evaluate(widths)) <= SHEET


def test_the_layers_of_a_long_output_stay_readable(open_page: Open, seed: int) -> None:
    said = [f"word{number}" for number in range(100)]
    best = [[[(token, 0.9), ("other", 0.1)] for token in said] for _ in range(2)]
    evidence = Evidence(lens=Lens(said, said, best, torch.rand(2, 100)))
    tab = open_page(view(torch.rand(1, 2, 100, 5).softmax(-1), list("abcde"), target_tokens=said, evidence=evidence))
    tab.click("#tab-lens")
    tab.locator(".lens [role=gridcell]").first.wait_for()
    printed(tab)
    assert tab.locator(".lens [role=gridcell]").count() == 200
    assert tab.locator(".lens").evaluate("one => Number(one.style.zoom)") > 0.6
    assert tab.locator(".lens").evaluate("one => one.getBoundingClientRect().width") <= SHEET + 1
