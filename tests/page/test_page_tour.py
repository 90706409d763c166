"""The tour: six cards, each beside the part of the page that it is about."""

from collections.abc import Callable
from typing import Any

import torch
from page_cases import attention, drawn, settled

from attentio.capturing.seen import Seen
from attentio.page.page import view

Open = Callable[..., Any]
TOURED = "[...document.querySelectorAll('.toured')].map(node => node.id)"


def test_six_cards_lead_through_the_page_and_leave_it_as_it_was(open_page: Open, seed: int) -> None:
    calls = [attention(name=f"layers.{n}.attention", **drawn(queries=5, keys=5)) for n in range(2)]
    tab = open_page(view(Seen(calls), list("abcde")), reduced_motion="reduce", viewport={"width": 1000, "height": 700})
    assert tab.locator(".tour").is_hidden()
    tab.click("#tab-steps")  # a wide view, which has neither answer nor overview
    tab.get_by_role("button", name="Tour").click()
    card, seen = tab.get_by_role("dialog", name="A tour of the page"), []
    for number in range(1, 7):
        settled(tab)
        assert f"{number} of 6" in card.inner_text()
        assert tab.evaluate("document.activeElement.closest('.tour') !== null")
        box = card.bounding_box()
        assert min(box["x"], box["y"], 1000 - box["x"] - box["width"], 700 - box["y"] - box["height"]) >= 0
        seen += tab.evaluate(TOURED)
        tab.keyboard.press("Enter")
    assert seen == ["answer", "panels", "overview", "choices", "tabs", "settings"]
    assert card.is_hidden()
    assert tab.evaluate("document.activeElement.textContent") == "Tour"
    assert tab.evaluate(TOURED) == []
    assert tab.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowRight")
    tab.evaluate("attentio.app.set({language: 'ko'})")
    assert "6개 중 2번째" in tab.locator(".tour").inner_text()
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate(TOURED) == ["answer"]
    tab.keyboard.press("Escape")
    assert tab.locator(".tour").is_hidden()


def test_the_tour_has_no_card_for_what_is_not_there(open_page: Open) -> None:
    tab = open_page(view(torch.full((3, 3), 1 / 3), list("abc")))
    tab.get_by_role("button", name="Tour").click()
    settled(tab)
    assert "1 of 5" in tab.locator(".tour").inner_text()  # one head needs no overview
