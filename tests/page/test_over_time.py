"""The page on how attention forms: a slider over what was kept, and the curves of the chosen head."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from page_cases import attention, drawn, settled

from attentio.capturing.seen import Seen
from attentio.errors import AttentioError
from attentio.page.describe import heads_of
from attentio.page.over_time import over_time
from attentio.page.tokens import Tokens

Open = Callable[..., Any]
STEPS = (0, 50, 150)
TOKENS, TARGETS = [list("abcde"), list("vwx")], [list("klm"), list("no")]


def kept() -> dict[int, Seen]:
    """Of two sentences, the second shorter; it sharpens."""
    parts = drawn(queries=3, keys=5)
    pairs = {name: torch.cat([part, part.flip(2)]) for name, part in parts.items()}
    return {
        step: Seen(
            [attention(name="decoder.cross", kind="cross", **{**pairs, "query": pairs["query"] * step / 50})],
            tokens=TOKENS,
            target_tokens=TARGETS,
        )
        for step in STEPS
    }


def test_the_slider_shows_each_moment_and_the_curves_are_those_of_the_head(open_page: Open, seed: int) -> None:
    seen = kept()
    tab = open_page(over_time(seen, begin="<s>", title="A run"), reduced_motion="reduce")
    assert tab.locator("[role=tab][aria-selected=true]").inner_text() == "Over time"
    tab.evaluate("attentio.app.set({head: 1, item: 0, row: 2, column: 3})")
    settled(tab)
    slider, reading = tab.get_by_label("After how many updates"), tab.locator("#panel-time .reading")
    tab.locator("#panel-time .as-table summary").click()
    shown = tab.locator("#panel-time tbody tr").all_inner_texts()
    for place, step in enumerate(STEPS):
        slider.fill(str(place))
        weight = float(seen[step][0].weights[0, 1, 2, 3])
        assert reading.inner_text().startswith(f"After {step} updates, “\u2068m\u2069” looks at “\u2068d\u2069”: ")
        assert float(reading.inner_text().split(": ")[1].replace("−", "-")) == pytest.approx(
            weight, rel=0.006, abs=1e-4
        )
        does = heads_of(seen[step][0], 0, Tokens(source=TOKENS, target=TARGETS))[1]
        largest = float(seen[step][0].weights[0, 1].float().amax(-1).mean())
        numbers = [float(each.strip(" %<")) for each in shown[place].split("\t")[1:]]
        for number, share in zip(numbers, (does.evenness, largest, does.shares.get("aligned", 0.0)), strict=True):
            assert number == pytest.approx(100 * share, abs=0.51)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(tab).response["violations"]
    assert not [(each["id"], each["nodes"][0]["html"][:200]) for each in found]
    play = tab.get_by_role("button", name="Play")
    play.click()
    assert slider.input_value() == "0", "from the beginning again, and no further: no motion is wanted"
    assert play.get_attribute("aria-pressed") == "false"
    tab.evaluate("attentio.app.set({item: 1, head: -1, theme: 'dark', language: 'ko'})")
    settled(tab)
    assert tab.locator("#panel-time output").inner_text() == "업데이트 0번 뒤"
    with tab.expect_download() as download:
        tab.get_by_role("button", name="SVG").click()
    assert "150" in download.value.path().read_text(encoding="utf-8")


def test_it_plays_to_the_end(open_page: Open, seed: int) -> None:
    tab = open_page(over_time(kept(), begin="<s>"), viewport={"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    play = tab.get_by_role("button", name="Play")
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    tab.locator("#panel-time output").filter(has_text="after 0 updates").wait_for()
    tab.locator("#panel-time output").filter(has_text="after 150 updates").wait_for()
    tab.locator("#panel-time .play[aria-pressed=false]").wait_for()


def test_moments_of_other_texts_or_models_are_refused(seed: int) -> None:
    seen = kept()
    seen[50].tokens = [list("abcdf"), list("vwx")]
    with pytest.raises(AttentioError, match="after 50 updates is not of the same texts and model as the last"):
        over_time(seen, begin="<s>")
