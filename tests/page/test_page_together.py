"""Several heads in one picture of arcs, each in its colour."""

import re
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import torch
from page_cases import settled

from attentio.page.page import view

Open = Callable[..., Any]
TOGETHER = "attentio.app.state.together.map(one => [one[0], one[1]])"

# Machado, Oliveira and Fernandes 2009, severity 1.0, of linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
           [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
           [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.array(lab) @ np.cbrt(np.array(lms) @ rgb.clip(0, 1))


def test_heads_are_put_together_and_taken_out_again(open_page: Open, seed: int) -> None:
    weights = torch.randn(2, 8, 5, 5).mul(2).softmax(-1)
    tab = open_page(view(weights, [f"w{n}" for n in range(5)]))
    tab.evaluate("attentio.app.set({layer: 1, head: 2})")
    tab.click("#tab-arcs")
    chips = tab.locator(".together .chip-head")
    assert chips.all_inner_texts() == [str(number) for number in range(1, 9)]
    assert chips.nth(2).get_attribute("aria-pressed") == "true"
    chips.nth(2).focus()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    assert tab.evaluate(TOGETHER) == [[1, 2], [1, 0]]
    assert tab.evaluate("document.activeElement.dataset.place") == "1.0"
    for number in (3, 4, 5, 6):
        chips.nth(number).click()
    assert chips.nth(7).is_disabled()
    assert tab.locator(".swatch").evaluate_all("nodes => new Set(nodes.map(node => node.style.background)).size") == 6
    chips.nth(3).click()
    # Colours stay with their heads; a token's reading names each head.
    tab.evaluate("attentio.app.set({row: 3, column: null})")
    settled(tab)
    reading = tab.locator("#panel-arcs .reading").inner_text()
    for head in (2, 0, 4, 5, 6):
        strongest = int(weights[1, head, 3].argmax())
        assert (
            f"layer 2, head {head + 1}: “\u2068w{strongest}\u2069” {weights[1, head, 3, strongest]:.2g}"[:-1] in reading
        )
    with tab.expect_download() as saved:
        tab.get_by_label("Save this view as SVG").click()
    svg = saved.value.path().read_text()
    colours = [tab.evaluate(f"attentio.app.color('head-{slot}')") for slot in (1, 2, 4, 5, 6)]
    strokes = {stroke for stroke in re.findall(r'<path[^>]* stroke="([^"]+)"', svg)}
    assert strokes == set(colours)
    assert "layer 2, head 7" in svg
    # A link leads to the same heads; another head chosen elsewhere stands alone.
    other = tab.context.new_page()
    other.goto(tab.evaluate("location.href"))
    assert other.evaluate(TOGETHER) == tab.evaluate(TOGETHER)
    tab.evaluate("attentio.app.set({kind: attentio.app.does(0, 0).kind})")
    tab.evaluate("attentio.chooseHead(attentio.app, 0, 1)")
    assert tab.evaluate(TOGETHER) == []
    settled(tab)
    kind = tab.evaluate("attentio.app.does(0, 0).kind")
    same = tab.evaluate(f"attentio.app.group().entries.flatMap(e => e.does[0]).filter(d => d.kind === '{kind}').length")
    if same > 1:
        tab.locator(".together button", has_text="all:").click()
        assert len(tab.evaluate(TOGETHER)) == min(6, same)
        tab.get_by_role("button", name="one only").click()
        assert tab.evaluate(TOGETHER) == []
    # One head alone needs no numbers.
    tab = open_page(view(torch.rand(4, 4).softmax(-1), list("abcd")))
    tab.click("#tab-arcs")
    assert not tab.locator(".together").is_visible()


def test_their_colours_can_be_told_apart_with_every_kind_of_colour_vision(open_page: Open) -> None:
    tab = open_page(view(torch.rand(2, 3, 3).softmax(-1), list("abc")))
    for theme in ("light", "dark"):
        tab.evaluate(f"attentio.app.set({{theme: '{theme}'}})")
        *heads, panel = (
            tab.evaluate(f"attentio.app.color('{name}')") for name in [*(f"head-{n}" for n in range(1, 7)), "panel"]
        )
        for name, matrix in VISIONS.items():
            seen = [oklab(np.array(matrix) @ linear(colour)) for colour in heads]
            closest = min(np.linalg.norm(one - other) for one, other in combinations(seen, 2))
            assert closest > 0.1, (theme, name)
        weights = np.array([0.2126, 0.7152, 0.0722])
        light = [float(weights @ linear(colour)) for colour in (*heads, panel)]
        for one in light[:-1]:
            assert (max(one, light[-1]) + 0.05) / (min(one, light[-1]) + 0.05) >= 3, theme
