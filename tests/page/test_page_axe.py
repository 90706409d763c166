"""axe-core finds nothing in any view, light or dark. (The browser has it for the test; the page never has.)"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from page_cases import attention, drawn, settled

from attentio.capturing.seen import Seen
from attentio.page.document import Page
from attentio.page.evidence import Copied, Evidence, Lens, WithoutHead, WithoutHeads
from attentio.page.page import view
from attentio.page.workshop import workshop

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

Open = Callable[..., Any]


def heads() -> Page:
    calls = [attention(name=f"layers.{n}.attention", **drawn(queries=5, keys=5)) for n in range(2)]
    return view(Seen(calls), ["<s>", "▁a", "b", "▁c", "</s>"], title="Heads")


def translation() -> Page:
    alternatives = [[(token, 0.75), ("other", 0.2)] for token in "xyz"]
    weights, chances = torch.rand(1, 2, 3, 5).softmax(-1), torch.rand(3)
    evidence = Evidence(
        copied=[Copied(0.9, [(0, 0.6)])] * 3,
        heads=WithoutHeads("xyz", chances.log(), [WithoutHead("layers.0", 1, chances.log() - 1, [(1, "other")])]),
        lens=Lens("abc", "xyz", [[[("x", 0.9), ("other", 0.1)]] * 3], chances[None]),
    )
    return view(
        weights,
        list("abcde"),
        target_tokens=list("xyz"),
        alternatives=alternatives,
        evidence=evidence,
        title="Translation",
    )


@pytest.mark.parametrize("page", [heads, translation, workshop])
def test_axe_has_nothing_to_say(open_page: Open, seed: int, page: Callable[[], Page]) -> None:
    tab = open_page(page())
    found = []
    for name in tab.evaluate("[...document.querySelectorAll('[role=tab]')].map(node => node.id)"):
        for theme in ("light", "dark"):
            tab.evaluate(f"document.getElementById('{name}').click(); attentio.app.set({{theme: '{theme}'}})")
            settled(tab)
            violations = axe.Axe().run(tab).response["violations"]
            found += [(name, theme, each["id"], each["nodes"][0]["html"][:200]) for each in violations]
    assert not found
