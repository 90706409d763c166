"""Before a class: large type on one screen, and one query after another."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from page_cases import settled

from attentio.page.document import Page
from attentio.page.page import view

Open = Callable[..., Any]


def page() -> Page:
    alternatives = [[(f"t{n}", 0.75), ("other", 0.125)] for n in range(4)]
    weights = torch.randn(2, 2, 4, 5).mul(3).softmax(-1)
    return view(
        weights, list("abcde"), target_tokens=[f"t{n}" for n in range(4)], alternatives=alternatives, title="A text"
    )


def test_a_lecture_has_large_type_and_all_of_a_head_on_one_screen(open_page: Open, seed: int) -> None:
    tab = open_page(page(), viewport={"width": 1280, "height": 720})
    tab.keyboard.press("l")
    settled(tab)
    assert not tab.locator("#choices").is_visible()
    assert not tab.locator("#overview").is_visible()
    assert float(tab.locator(".said-large").evaluate("node => parseFloat(getComputedStyle(node).fontSize)")) >= 40
    canvas = tab.locator("#panel-heat .scroller canvas").bounding_box()
    assert canvas["y"] + canvas["height"] <= 720
    legend = tab.locator("#panel-heat .legend").bounding_box()
    assert legend["height"] >= 50
    assert legend["y"] + legend["height"] <= 720
    assert tab.evaluate("attentio.app.state.lecture")
    head = tab.evaluate("attentio.app.state.head")
    tab.keyboard.press("[" if head else "]")  # heads are changed by keys as ever
    assert tab.evaluate("attentio.app.state.head") != head
    tab.click("#tab-translation")
    cell = tab.locator(".translation td").first
    assert float(cell.evaluate("node => parseFloat(getComputedStyle(node).fontSize)")) >= 19
    tab.click("#tab-arcs")
    settled(tab)
    large = tab.locator("#panel-arcs .scroller").evaluate("node => node.scrollHeight")
    tab.keyboard.press("l")
    settled(tab)
    assert tab.locator("#panel-arcs .scroller").evaluate("node => node.scrollHeight") < large
    assert tab.locator("#choices").is_visible()


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_queries_are_played_one_after_another_with_what_comes_of_them(open_page: Open, seed: int, motion: str) -> None:
    tab = open_page(page(), reduced_motion=motion)
    tab.click("#tab-arcs")
    tab.locator("#panel-arcs .scroller").focus()
    tab.evaluate("attentio.app.set({row: 2, column: null})")
    tab.keyboard.press("Space")
    play = tab.get_by_role("button", name="Play")
    assert play.get_attribute("aria-pressed") == "true"
    reading = tab.locator("#panel-arcs .reading")
    for row in (2, 3):
        if motion == "reduce" and row == 3:
            assert tab.evaluate("attentio.app.state.row") == row - 1  # nothing moves by itself
            tab.keyboard.press("Space")
        reading.filter(has_text=f"t{row}").wait_for()
        assert "probability 75 %" in reading.inner_text()
    if motion == "reduce":
        tab.keyboard.press("Space")
    tab.locator(".play[aria-pressed=false]").wait_for()
