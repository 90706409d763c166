"""The page in a real Chromium, opened from disk with the network off."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from page_cases import settled
from torch import Tensor

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.page.document import Page
from attentio.page.page import view
from attentio.runs.aligned import join_words
from attentio.text.words import spans, word_starts

Open = Callable[..., Any]
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><img src=x onerror='window.hacked = 2'>",
    '"><b onclick="window.hacked=3">x</b>',
    "\u202eabc",
    "",
    " ",
    "\n",
    "\u200b",
    "ᄒ",
    "👩‍👩‍👧",
    "שלום",
    "${payload}",
    "\ud800",
]


def weights_of(*shape: int) -> Tensor:
    return torch.randn(shape).mul(2).softmax(-1).half()


def words(count: int, letter: str = "w") -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


def translation_page(**options: Any) -> Page:
    """Two layers of an encoder and a decoder, for a source of 7 tokens and a target of 5."""
    causal = torch.ones(5, 5, dtype=torch.bool).tril()

    def call(name: str, kind: Any, q: int, k: int, allowed: Tensor | None = None) -> SeenAttention:
        scores = torch.randn(1, 3, q, k)
        weights = (scores if allowed is None else scores.masked_fill(~allowed, float("-inf"))).softmax(-1)
        return SeenAttention(
            name=name, call=0, kind=kind, heads=(0, 1, 2), weights=weights.half(), keys=k, allowed=allowed
        )

    seen = Seen(
        [
            *(call(f"encoder.layers.{n}.attention", "self", 7, 7) for n in range(2)),
            *(call(f"decoder.layers.{n}.attention", "self", 5, 5, causal) for n in range(2)),
            *(call(f"decoder.layers.{n}.cross_attention", "cross", 5, 7) for n in range(2)),
        ]
    )
    alternatives = [[(f"t{n}", 0.75), ("other", 0.125)] for n in range(5)]
    return view(seen, words(7, "s"), target_tokens=words(5, "t"), alternatives=alternatives, **options)


def until(tab: Any, expression: str) -> None:
    """Wait until it is true. (playwright's own wait_for_function evaluates in the page, which the policy forbids.)"""
    for _ in range(300):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(20)
    raise AssertionError(f"not within 6 seconds: {expression}")


def drawn(tab: Any, layer: int | None = None, head: int = 0) -> None:
    """Wait until the heat map has been drawn. layer, head: to be chosen first, counted from 0, with no cell."""
    if layer is not None:
        tab.evaluate(f"attentio.app.set({{layer: {layer}, head: {head}, row: null, column: null}})")
        settled(tab)
    until(tab, "document.querySelector('#panel-heat .legend')?.width > 300")


def show(tab: Any, view_id: str) -> Any:
    tab.locator(f"#tab-{view_id}").click()
    return tab.locator(f"#panel-{view_id}")


def table(tab: Any) -> list[list[str]]:
    """The numbers of the chosen head, as the page writes them for screen readers."""
    tab.evaluate("document.querySelector('.as-table').open = true")
    tab.wait_for_selector(".numbers tbody tr")
    return tab.evaluate(
        "[...document.querySelectorAll('.numbers tbody tr')].map("
        "row => [...row.querySelectorAll('td')].map(cell => cell.textContent))"
    )


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def as_numbers(cells: list[list[str]]) -> np.ndarray:
    return np.array([[number(text) for text in row] for row in cells])


def test_every_view_opens_from_disk_without_network_errors_or_violations(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page(title="A title"))
    assert tab.locator("h1").inner_text() == "A title"
    for each in tab.get_by_role("tab").all():
        each.click()
        assert each.get_attribute("aria-selected") == "true"
        panel = tab.locator(f"#{each.get_attribute('aria-controls')}")
        assert panel.is_visible()
        assert panel.locator("xpath=*").count() > 0


def test_table_has_the_weights_and_says_what_is_masked(open_page: Open, seed: int) -> None:
    weights, allowed = weights_of(1, 2, 5, 5), torch.ones(5, 5, dtype=torch.bool).tril()
    weights[..., 3, 1] = 0
    seen = Seen([SeenAttention(name="a", call=0, kind="self", heads=(4, 9), weights=weights, keys=5, allowed=allowed)])
    tab = open_page(view(seen, words(5)))
    drawn(tab, 0)
    cells = table(tab)
    for row in range(5):
        for column in range(5):
            if column > row:
                assert cells[row][column] == "masked"
            else:
                assert number(cells[row][column]) == pytest.approx(weights[0, 0, row, column].item(), rel=0.051)
    assert cells[3][1] == "0"
    tab.locator("#choices").get_by_label("Head").select_option(label="10")
    until(tab, "document.querySelector('.numbers caption').textContent.includes('head 10')")
    assert number(table(tab)[2][1]) == pytest.approx(weights[0, 1, 2, 1].item(), rel=0.051)


def test_mean_of_the_heads_is_their_mean(open_page: Open, seed: int) -> None:
    weights = weights_of(3, 5, 7)
    tab = open_page(view(weights, words(7), target_tokens=words(5, "t")))
    drawn(tab)
    tab.locator("#choices").get_by_label("Head").select_option(label="mean of all")
    until(tab, "attentio.app.state.head === -1")
    settled(tab)
    np.testing.assert_allclose(as_numbers(table(tab)), weights.float().mean(0), rtol=0.06, atol=1e-6)


def test_joined_words_are_sums_over_keys_and_means_over_queries(open_page: Open, seed: int) -> None:
    source, target = ["▁lo", "w", "er", "▁than", "▁th", "is"], ["▁nied", "rig", "er", "▁als", "</s>"]
    weights = weights_of(5, 6)
    tab = open_page(view(weights, source, target_tokens=target))
    drawn(tab)
    assert not tab.locator(".rule").is_visible()
    tab.get_by_label("Join sub-words").check()
    settled(tab)
    assert "added up over the pieces of the word looked at" in tab.locator(".rule").inner_text()
    expected = join_words(weights.float(), target=spans(word_starts(target)), source=spans(word_starts(source)))
    np.testing.assert_allclose(as_numbers(table(tab)), expected, rtol=0.06, atol=1e-6)
    assert tab.locator(".numbers thead th").all_inner_texts() == ["lower", "than", "this"]
    assert tab.locator(".numbers tbody th").all_inner_texts() == ["niedriger", "als", "</s>"]


def test_pointer_reads_the_weight_under_it(open_page: Open, seed: int) -> None:
    weights = weights_of(5, 7)
    tab = open_page(view(weights, words(7), target_tokens=words(5, "t")))
    drawn(tab)
    place = tab.locator(".scroller canvas").first.bounding_box()
    layout = tab.evaluate(
        "(() => { const rows = attentio.app.tokens('query'), columns = attentio.app.tokens('key');"
        " const width = parseFloat(document.querySelector('.spacer').style.width);"
        " for (let cell = 13; cell <= 44; cell += 0.01) {"
        " const at = attentio.heatDrawing.layout({rows, columns, cell});"
        " if (Math.abs(at.left + 7 * cell + at.over - width) < 0.2) return {cell, ...at}; } })()"
    )
    tab.mouse.move(
        place["x"] + layout["left"] + 4.5 * layout["cell"], place["y"] + layout["top"] + 2.5 * layout["cell"]
    )
    until(tab, "document.querySelector('.reading').textContent.includes('looks at')")
    text = tab.locator(".reading").first.inner_text()
    assert "t2" in text
    assert "w4" in text
    assert number(text.rsplit(": ", 1)[1]) == pytest.approx(weights[2, 4].item(), rel=0.006)


def test_hostile_and_invisible_tokens_are_shown_and_never_run(open_page: Open, seed: int) -> None:
    count = len(HOSTILE)
    alternatives = [[(token, 0.5)] for token in HOSTILE]
    page = view(
        weights_of(2, 2, count, count), HOSTILE, target_tokens=HOSTILE, alternatives=alternatives, title=HOSTILE[1]
    )
    tab = open_page(page)
    drawn(tab)
    table(tab)
    headings = tab.locator(".numbers thead th").all_inner_texts()
    assert headings[:3] == [token.replace(" ", "␣") for token in HOSTILE[:3]]
    assert headings[3:9] == ["U+202Eabc", "∅", "␣", "↵", "U+200B", "ㅎ"]
    for name in ("arcs", "translation"):
        show(tab, name)
        settled(tab)
    assert headings[0] in tab.locator("#panel-translation tbody").inner_text()
    assert tab.locator("h1").inner_text() == HOSTILE[1]
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("img").count() == 0


def test_whole_page_is_reached_and_used_by_keyboard(open_page: Open, seed: int) -> None:
    weights = weights_of(2, 3, 5, 7)
    tab = open_page(view(weights, words(7), target_tokens=words(5, "t")))
    drawn(tab, 1)
    reached = []
    for _ in range(30):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.getAttribute('role') ?? document.activeElement.tagName"))
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or reached[-1] == "BODY"
        if reached[-1] == "application":
            break
    assert {"SELECT", "BUTTON", "tab", "gridcell", "application"} <= set(reached)
    assert reached.count("tab") == 1  # arrows go from one to the next
    assert reached.count("gridcell") == 1

    tab.keyboard.press("ArrowRight")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):
        tab.keyboard.press(key)
    assert tab.evaluate("[attentio.app.state.row, attentio.app.state.column]") == [2, 3]
    said = tab.locator("#said").inner_text()
    assert "t2" in said
    assert "w3" in said
    assert number(said.rsplit(": ", 1)[1]) == pytest.approx(weights[1, 0, 2, 3].item(), rel=0.006)
    tab.keyboard.press("Enter")
    assert tab.evaluate("attentio.app.state.column") == int(weights[1, 0, 2].argmax())
    tab.keyboard.press("Escape")
    assert tab.evaluate("attentio.app.state.row") is None


def test_layers_and_heads_are_chosen_by_arrows_and_by_letters(open_page: Open, seed: int) -> None:
    tab = open_page(view(weights_of(2, 3, 5, 7), words(7), target_tokens=words(5, "t")))
    drawn(tab, 1)
    tab.locator("[role=gridcell][tabindex='0']").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate("[attentio.app.state.layer, attentio.app.state.head]") == [0, 1]
    label = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label.startswith("layer 1 of 2, head 2: ")
    assert tab.locator("#said").inner_text() == label
    tab.evaluate("attentio.app.set({ theme: 'dark' })")  # all pictures are drawn anew
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == label
    tab.keyboard.press("]")
    tab.keyboard.press("Shift+}")
    assert tab.evaluate("[attentio.app.state.layer, attentio.app.state.head]") == [1, 2]
    tab.keyboard.press("Shift+?")
    assert tab.get_by_role("dialog").is_visible()
    tab.keyboard.press("Escape")
    assert not tab.get_by_role("dialog").is_visible()
    tab.locator("[role=tab][tabindex='0']").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.id") == "tab-arcs"
    assert tab.locator("#panel-arcs").is_visible()


def test_arcs_read_what_a_token_looks_at_and_who_looks_at_it(open_page: Open, seed: int) -> None:
    weights = weights_of(5, 7)
    tab = open_page(view(weights, words(7), target_tokens=words(5, "t")))
    panel = show(tab, "arcs")
    panel.locator(".scroller").focus()
    tab.keyboard.press("Escape")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    strongest = int(weights[1].argmax())
    until(tab, f"document.querySelector('#said').textContent.includes('w{strongest}')")
    assert tab.locator("#said").inner_text().startswith("“\u2068t1\u2069” looks at “\u2068" + f"w{strongest}")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("[attentio.app.state.row, attentio.app.state.column]") == [None, 1]
    first = int(weights[:, 1].argmax())
    assert tab.locator("#said").inner_text().startswith("“\u2068w1\u2069” is looked at by “\u2068" + f"t{first}")


def test_translation_shows_probabilities_alternatives_and_shaded_sources(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page())
    panel = show(tab, "translation")
    rows = panel.locator("tbody tr")
    assert rows.count() == 5
    text = rows.nth(2).inner_text()
    assert "t2" in text
    assert "75 %" in text
    assert "other: 13 %" in text
    assert rows.nth(2).locator(".source").count() == 7
    assert rows.nth(2).locator(".source").first.evaluate("node => node.style.background").startswith("rgb")
    rows.nth(2).click()
    assert tab.evaluate("attentio.app.state.row") == 2


def test_kinds_of_attention_and_sentences_of_a_batch_are_chosen_by_name(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page())
    names = tab.get_by_label("Attention").locator("option").all_inner_texts()
    assert names == ["encoder to itself", "decoder to itself", "decoder to source"]
    assert tab.get_by_label("Attention").get_attribute("title") == "decoder.layers.*.cross_attention"
    tab.get_by_label("Attention").select_option(index=0)
    assert tab.evaluate("attentio.app.tokens('query')") == words(7, "s")
    weights = weights_of(2, 3, 5, 5)
    batch = Seen([SeenAttention(name="a.0", call=0, kind="self", heads=(0, 1, 2), weights=weights, keys=5)])
    other = open_page(view(batch, [words(5), words(3, "x")]))
    drawn(other, 0)
    other.get_by_label("Sentence").select_option(label="2")
    settled(other)
    assert other.evaluate("attentio.app.tokens('key')") == [*words(3, "x"), "⟨padding⟩", "⟨padding⟩"]
    np.testing.assert_allclose(as_numbers(table(other)), weights[1, 0].float(), rtol=0.06, atol=1e-6)


def test_page_speaks_korean_and_english(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page(), locale="ko-KR")
    drawn(tab)
    assert tab.evaluate("document.documentElement.lang") == "ko"
    assert tab.locator("#tab-heat").inner_text() == "히트맵"
    hangul = tab.evaluate("document.body.innerText")
    assert "All layers" not in hangul
    tab.get_by_label("언어").select_option("en")
    assert tab.locator("#tab-heat").inner_text() == "Heat map"
    assert tab.locator("#overview h2").inner_text() == "All layers and heads"
    assert not any("가" <= letter <= "힣" for letter in tab.evaluate("document.body.innerText").replace("한국어", ""))


def test_page_follows_light_and_dark_and_can_be_switched(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page(), color_scheme="dark")
    drawn(tab)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(ground)
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.get_by_label("Light or dark").click()
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    assert tab.evaluate(ground) != dark


def test_colours_keep_the_order_of_the_weights_in_grey_and_for_the_colour_blind(open_page: Open, seed: int) -> None:
    ramps = open_page(translation_page()).evaluate("attentio.colours.ramps")
    # Brettel's and Vienot's simplification of what red- and green-blind people see, on linear light.
    linear_rgb = {name: (np.array(ramp) / 255) ** 2.2 for name, ramp in ramps.items()}
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    for name, sign in (("light", -1), ("dark", 1)):
        for sight in (np.eye(3), protan, deutan):
            lightness = linear_rgb[name] @ sight.T @ [0.2126, 0.7152, 0.0722]
            steps = sign * np.diff(lightness[::8])
            assert (steps > 0).all()
        assert np.ptp(linear_rgb[name] @ [0.2126, 0.7152, 0.0722]) > 0.6


def test_views_are_saved_as_png_and_svg(open_page: Open, tmp_path: Path, seed: int) -> None:
    tab = open_page(translation_page(title="A <title> & more"), color_scheme="dark")
    for view_id, shapes, least in (("heat", "rect", 35), ("arcs", "path", 10), ("translation", "rect", 35)):
        show(tab, view_id)
        settled(tab)
        saved = {}
        for kind in ("png", "svg"):
            with tab.expect_download() as download:
                tab.get_by_label(f"Save this view as {kind.upper()}").click()
            saved[kind] = tmp_path / download.value.suggested_filename
            download.value.save_as(saved[kind])
            named = {"heat": "Heat-map", "arcs": "Arcs", "translation": "Source-and-output"}[view_id]
            assert saved[kind].name.startswith(f"A-title-more_{named}_decoder-to-source-layer-")
            assert saved[kind].suffix == f".{kind}"
        data = saved["png"].read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(data[16:20], "big") > 500
        root = ET.fromstring(saved["svg"].read_text(encoding="utf-8"))
        texts = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {"A <title> & more", *words(7, "s"), *words(5, "t")} <= texts
        assert any(re.fullmatch(r"decoder to source, layer . of 2, head .", text) for text in texts if text)
        assert root.find("{http://www.w3.org/2000/svg}rect").get("fill") == "#ffffff"  # light, whatever the screen is
        assert len(list(root.iter(f"{{http://www.w3.org/2000/svg}}{shapes}"))) >= least


def test_on_a_phone_what_scrolls_sideways_shows_it_until_its_end(open_page: Open, seed: int) -> None:
    tab = open_page(
        view(torch.randn(5, 97).softmax(-1), words(97), target_tokens=words(5)), viewport={"width": 390, "height": 844}
    )
    for name in ("heat", "arcs"):
        tab.click(f"#tab-{name}")
        settled(tab)
        scroller = tab.locator(f"#panel-{name} .scroller")
        wide = scroller.evaluate("node => node.scrollWidth > node.clientWidth + 1")
        assert wide or name == "arcs"
        shown = tab.locator(f"#panel-{name} .goes-on")
        assert shown.count() == wide
        scroller.evaluate("node => { node.scrollLeft = 1e6; }")
        shown.wait_for(state="detached")


def test_4096_tokens_are_drawn_at_their_absolute_positions_and_scroll(open_page: Open, seed: int) -> None:
    size, reach = 4096, 60
    at = torch.arange(size)
    inside = ((at[:, None] - at) >= 0) & ((at[:, None] - at) <= reach)
    weights = torch.rand(size, size).masked_fill(~inside, -1e9).softmax(-1)
    tab = open_page(view(weights, words(size)))
    drawn(tab)
    pixel = (
        "([row, column]) => { const canvas = document.querySelector('.scroller canvas'), ratio = devicePixelRatio;"
        " const cell = (parseFloat(document.querySelector('.spacer').style.width) - 64 - 12) / 4096;"
        " const scroller = document.querySelector('.scroller');"
        " const x = 64 + (column + 0.5) * cell - scroller.scrollLeft, y = 40 + (row + 0.5) * cell - scroller.scrollTop;"
        " const one = new OffscreenCanvas(1, 1).getContext('2d');"
        " one.drawImage(canvas, x * ratio, y * ratio, 1, 1, 0, 0, 1, 1);"
        " return [...one.getImageData(0, 0, 1, 1).data]; }"
    )
    light = lambda row, column: sum(tab.evaluate(pixel, [row, column])[:3])  # noqa: E731
    for row in (500, 2000, 2500):
        assert light(row, row - 30) < 600 < light(row, row - 900)
    tab.locator(".scroller").first.focus()
    for _ in range(9):
        tab.keyboard.press("+")
    assert tab.locator(".map").is_visible()
    tab.evaluate("(() => { const s = document.querySelector('.scroller'); s.scrollLeft = s.scrollTop = 1e6; })()")
    settled(tab)
    assert light(4090, 4070) < 600 < light(4000, 4060)
    small = tab.locator(".map").bounding_box()
    tab.mouse.click(small["x"] + small["width"] / 4, small["y"] + small["height"] * 3 / 4)
    middle = tab.evaluate(
        "(() => { const s = document.querySelector('.scroller');"
        " return [s.scrollLeft + s.clientWidth / 2, s.scrollTop + s.clientHeight / 2]"
        ".map((at, side) => at / (side ? s.scrollHeight : s.scrollWidth)); })()"
    )
    assert middle == pytest.approx([0.25, 0.75], abs=0.03)
    tab.evaluate("attentio.app.set({row: 3000, column: 2990})")
    settled(tab)
    text = tab.locator(".reading").first.inner_text()
    assert "w3000" in text
    assert number(text.rsplit(": ", 1)[1]) == pytest.approx(weights[3000, 2990].item(), rel=0.06)


def test_weights_that_were_not_kept_are_said_so_and_known_zeros_stay_zeros(open_page: Open, seed: int) -> None:
    values, indices = weights_of(1, 1, 5, 11).float().topk(3)
    values[0, 0, 4] = torch.tensor([1.0, 0.0, 0.0])
    seen = Seen([SeenAttention(
        name="a", call=0, kind="self", heads=(0,), weights=values.half(), indices=indices.int(), keys=11, q_start=6
    )])  # fmt: skip
    tab = open_page(view(seen, words(11)))
    drawn(tab)
    cells = table(tab)
    for row in range(4):
        for column in range(11):
            kept = (indices[0, 0, row] == column).nonzero()
            if len(kept):
                assert number(cells[row][column]) == pytest.approx(values[0, 0, row, kept.item()].item(), rel=0.06)
            else:
                assert cells[row][column] == "not kept"
    assert sorted(cells[4])[0] == "0"
    assert cells[4].count("0") == 10


def test_page_fits_narrow_screens(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page(title="A title"), viewport={"width": 600, "height": 900})
    drawn(tab)
    for each in tab.get_by_role("tab").all():
        each.click()
        settled(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 600, each.inner_text()


def test_page_prints_in_light_colours(open_page: Open, seed: int) -> None:
    tab = open_page(translation_page(), color_scheme="dark")
    drawn(tab)
    tab.evaluate("addEventListener('beforeprint', () => { window.printed = document.documentElement.dataset.theme; })")
    assert tab.pdf()[:5] == b"%PDF-"
    assert tab.evaluate("window.printed") == "light"
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"


def test_page_works_in_the_frame_of_a_notebook_as_tall_as_it_is_and_in_its_theme(open_page: Open, seed: int) -> None:
    framed = translation_page(title="Framed")._repr_html_()
    tab = open_page(f"<!DOCTYPE html><meta charset=utf-8><body data-jp-theme-light=false>{framed}</body>")
    frame = tab.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == "Framed"
    frame.locator("#tab-translation").click()
    assert frame.locator("#panel-translation tbody tr").count() == 5
    for name in ("heat", "translation", "arcs"):
        frame.locator(f"#tab-{name}").click()
        frame.locator(f"#panel-{name}").wait_for()
        inner = frame.locator("body").evaluate("node => node.offsetHeight")
        until(tab, f"Math.abs(document.querySelector('iframe').height - {inner}) <= 1")
        assert inner < 1200, name
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    tab.evaluate("document.body.dataset.jpThemeLight = 'true'")
    frame.locator("html[data-theme=light]").wait_for()
