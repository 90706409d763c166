"""What is wider or longer than a screen is whole on paper."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from page_cases import settled

from attentio.page.evidence import Evidence, Lens
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
