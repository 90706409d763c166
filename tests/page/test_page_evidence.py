"""What the page shows of a run's output besides its attention."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from page_cases import settled
from untrained_runs import untrained

from attentio.page.evidence import Copied, Evidence
from attentio.page.page import view
from attentio.pictures.labels import pretty

Open = Callable[..., Any]


def test_copying_is_shown_with_where_it_came_from(open_page: Open, seed: int) -> None:
    weights = torch.tensor([[0.7, 0.1, 0.2], [0.3, 0.3, 0.4]])
    copied = [Copied(0.9, [(0, 0.63), (2, 0.18)]), Copied(0.25, [])]
    tab = open_page(
        view(weights, ["Zoë", "sang", "Zoë"], target_tokens=["Zoë", "danced"], evidence=Evidence(copied=copied))
    )
    tab.click("#tab-translation")
    settled(tab)
    assert tab.locator(".copies").all_inner_texts()[1].split() == ["25", "%"]
    assert tab.locator(".copies").first.inner_text().split("\n")[-1] == "from “\u2068Zoë\u2069” (0): 63 %"
    origins = tab.locator(".origin").evaluate_all(
        "nodes => nodes.map(node => [node.closest('tr').dataset.row, node.dataset.column])"
    )
    assert origins == [["0", "0"], ["0", "2"]]
    tab.locator("#panel-translation tbody tr").first.click()
    assert "copied 90 % from" in tab.locator("#panel-translation .reading").inner_text()
    plain = open_page(view(weights, ["a", "b", "c"], target_tokens=["d", "e"]))
    plain.click("#tab-translation")
    assert "copied" not in plain.locator("#panel-translation").inner_text()


def payload_rows(tab: Any) -> list[list[str]]:
    return tab.locator(".erase tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent.trim()))"
    )


def test_heads_are_erased_and_layers_read_off(open_page: Open, seed: int) -> None:
    inspected = untrained(encoder="transformer", decoder="transformer", decoder_layers=2).inspect("abcd")
    erased, lens = inspected.evidence.heads, inspected.evidence.lens
    nothing = erased.heads[-1]._replace(log_probs=erased.log_probs - 0.004 / len(erased.said))
    found = erased._replace(heads=[*erased.heads[:-1], nothing])
    inspected = replace(inspected, evidence=replace(inspected.evidence, heads=found))
    said = pretty(found.said)
    tab = open_page(inspected.page())
    tab.click("#tab-erase")
    tab.locator(".erase tbody tr").first.wait_for()
    rows = payload_rows(tab)
    assert len(rows) == len(found.heads)
    for row, one in zip(rows, found.heads, strict=True):
        lost = float(found.log_probs.sum() - one.log_probs.sum())
        number = float(re.sub(r"[^\d.]", "", row[2].split(" ")[0]) or 1)
        if 0.01 < abs(lost) < 9:
            assert number == pytest.approx(math.exp(abs(lost)), rel=0.006)
            assert ("less" if lost > 0 else "more") in row[2]
        marked = dict(one.instead)
        if marked:
            assert row[3].split() == [pretty([marked.get(place, token)])[0] for place, token in enumerate(said)]
        else:
            assert row[3] == "the same"
    assert rows[-1][2] == "as probable as before", "1.004 times less, which is 1.00"
    tab.locator(".erase tbody tr").first.focus()
    tab.keyboard.press("Home")
    first = found.heads[0]
    assert tab.evaluate("document.activeElement.dataset.row") == "0"
    name = tab.evaluate("attentio.app.entry().name")
    assert (name, tab.evaluate("attentio.app.state.head")) == (first.attention, first.head)
    chances = tab.locator("#panel-erase .profile .value").all_inner_texts()
    before, after = (text.strip() for text in chances[0].split("→"))
    assert before == tab.evaluate(f"attentio.app.percent({float(found.log_probs[0].exp())})")
    assert after == tab.evaluate(f"attentio.app.percent({float(first.log_probs[0].exp())})")
    tab.click("#tab-lens")
    cells = tab.locator(".lens [role=gridcell]")
    cells.first.wait_for()
    assert cells.all_inner_texts() == pretty([place[0][0] for layer in lens.best for place in layer])
    cells.first.click()
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("[document.activeElement.dataset.layer, document.activeElement.dataset.place]") == ["1", "0"]
    assert not tab.locator("#choices").is_visible()
    chance = tab.evaluate(f"attentio.app.percent({float(lens.chances[1, 0])})")
    assert tab.locator("#panel-lens .reading").inner_text().endswith(f": {chance}")
    for name in ("erase", "lens"):
        tab.click(f"#tab-{name}")
        with tab.expect_download() as saved:
            tab.get_by_label("Save this view as SVG").click()
        assert len(re.findall("<text", saved.value.path().read_text())) > 5


def test_pages_without_a_model_offer_neither(open_page: Open) -> None:
    tab = open_page(view(torch.full((2, 2, 3, 3), 1 / 3), list("abc")))
    assert tab.locator("#tab-erase, #tab-lens").count() == 0
