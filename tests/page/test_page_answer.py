"""What the page says first: the most telling head, its strongest weight, and what every head does."""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from page_cases import settled
from torch import Tensor

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.page.describe import DULL, describe
from attentio.page.document import Page
from attentio.page.page import view

Open = Callable[..., Any]
TEXT = [f"w{number}" for number in range(7)]


def heads(*shape: int) -> Tensor:
    """Random heads, and a previous-token head in the last place."""
    weights = torch.randn(*shape, 7, 7).mul(2).softmax(-1)
    weights[(-1,) * len(shape)] = 0.93 * torch.eye(7).roll(-1, 1) + 0.01
    weights[(-1,) * len(shape)][0] = 1 / 7
    return weights


def page(layers: int, count: int, **options: Any) -> Page:
    return view(heads(layers, count), TEXT, **options)


def test_the_page_opens_on_the_most_telling_head_and_says_it_in_words(open_page: Open, seed: int) -> None:
    weights = heads(3, 4)
    tab = open_page(view(weights, TEXT, title="A text"))
    best = describe(weights, TEXT).telling()
    tab.locator(".said-large").wait_for()
    query, key = best.does.cell
    assert tab.locator(".said-large").inner_text() == f"“\u2068w{query}\u2069” looks at “\u2068w{key}\u2069”: 94 %"
    assert tab.locator(".does").inner_text().startswith(f"self-attention, layer {best.layer} of 3, head {best.head}")
    assert "the previous token: 94 %" in tab.locator(".does").inner_text()
    tab.keyboard.press("[")
    other = describe(weights, TEXT)[(int(best.layer) - 1) * 4 + best.head - 2]
    settled(tab)
    assert tab.evaluate("[attentio.app.state.row, attentio.app.state.column]") == list(other.does.cell)
    tab.evaluate("attentio.app.set({row: null, column: null})")
    settled(tab)
    assert not tab.locator(".said-large").is_visible()


def test_the_answer_is_korean_for_korean_readers(open_page: Open, seed: int) -> None:
    tab = open_page(page(1, 3), locale="ko-KR")
    assert "바로 앞 토큰을 바라봅니다(어텐션의 94 %)" in tab.locator(".does").inner_text()


def test_badges_count_and_filter_the_heads(open_page: Open, seed: int) -> None:
    weights = heads(3, 4)
    tab = open_page(view(weights, TEXT))
    table = describe(weights, TEXT)
    names = {"previous": "previous token", "even": "even", "mixed": "mixed", "next": "next token", "self": "itself"}
    settled(tab)
    chips = tab.locator(".chip-kind")
    counts = dict(text.rsplit(maxsplit=1) for text in chips.all_inner_texts())
    for kind, name in names.items():
        assert int(counts.get(name, 0)) == len(table.of(kind))
    chip = tab.locator(".chip-kind[data-kind=previous]")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    tab.get_by_label("Order").select_option("kind")
    assert tab.locator("[role=gridcell]").count() == len(table.of("previous"))
    chip.click()
    assert tab.locator("[role=gridcell]").count() == 12


def test_heads_are_sorted_by_what_is_measured(open_page: Open, seed: int) -> None:
    weights = heads(2, 4)
    tab, table = open_page(view(weights, TEXT)), describe(weights, TEXT)
    for order in ("telling", "evenness", "sink"):
        tab.get_by_label("Order").select_option(order)
        cells = tab.locator("[role=gridcell]")
        shown = cells.evaluate_all("cells => cells.map(cell => [+cell.dataset.layer, +cell.dataset.head])")
        numbers = [getattr(table[4 * layer + head].does, order) for layer, head in shown]
        assert numbers == pytest.approx(sorted(numbers, reverse=True), abs=2e-4)
    tab.locator("[role=gridcell][tabindex='0']").focus()
    tab.keyboard.press("Home")
    for _ in range(8):
        tab.keyboard.press("ArrowDown")
    assert tab.evaluate("[attentio.app.state.layer, attentio.app.state.head]") == shown[-1]


@pytest.mark.parametrize("count", [12, 32])
def test_all_heads_of_a_layer_stand_within_their_box(open_page: Open, seed: int, count: int) -> None:
    tab = open_page(page(4, count))
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 800})
        last = tab.locator(f"[data-layer='3'][data-head='{count - 1}']")
        within = (
            "cell => { const box = document.querySelector('#overview'), {right} = cell.getBoundingClientRect();"
            " return right <= box.getBoundingClientRect().right && box.scrollWidth <= box.clientWidth; }"
        )
        for _ in range(100):  # drawn anew a moment after the width changed
            if last.evaluate(within):
                break
            tab.wait_for_timeout(20)
        assert last.evaluate(within)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("#overview canvas").count() == 4
    numbers = tab.locator(".numbers-of-heads").inner_text().split()
    assert numbers[0] == "1"
    assert len(numbers) >= count / 3


def test_pictures_of_the_overview_are_light_when_printing_begins(open_page: Open, seed: int) -> None:
    tab = open_page(page(3, 4), color_scheme="dark")
    tab.locator(".said-large").wait_for()
    settled(tab)
    # As they are when the printer looks: at the end of the event itself.
    tab.evaluate(
        "addEventListener('beforeprint', () => { window.lightness = [...document.querySelectorAll('#overview canvas')]"
        ".map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 0))"
        ".map(reds => reds.reduce((sum, red) => sum + red, 0) / reds.length); })"
    )
    tab.pdf()
    assert all(lightness > 100 for lightness in tab.evaluate("window.lightness"))


def test_gpt2_is_printed_on_one_sheet(open_page: Open, seed: int) -> None:
    tab = open_page(page(12, 12, title="A text"), color_scheme="dark")
    tab.locator(".said-large").wait_for()
    settled(tab)
    assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf(format="A4"))) == 1


def test_the_address_leads_back_to_the_same_view(open_page: Open, seed: int) -> None:
    tab = open_page(page(3, 4))
    tab.click("#tab-arcs")
    tab.evaluate("attentio.app.set({layer: 1, head: 2, row: 3, column: 5, scale: 'log', sort: 'sink', kind: 'mixed'})")
    address = tab.evaluate("location.href")
    other = tab.context.new_page()
    other.goto(address)
    names = ["view", "layer", "head", "row", "column", "scale", "sort", "kind"]
    state = other.evaluate("names => names.map(name => attentio.app.state[name])", names)
    assert state == ["arcs", 1, 2, 3, 5, "log", "sink", "mixed"]
    other.goto("about:blank")
    other.goto(address.split("#")[0] + "#view=nowhere&layer=99&head=99&row=xx&column=99&group=7&scale=odd")
    state = other.evaluate("names => names.map(name => attentio.app.state[name])", names)
    assert state == ["heat", 2, 3, None, None, "sqrt", "layers", None]
    other.goto("about:blank")
    other.goto(address.split("#")[0] + "#layer=0&head=0&item=0&group=0&row=0")
    assert other.locator("[role=tab]").count() > 3, "places are counted from 1"
    assert other.evaluate("[attentio.app.state.layer >= 0, attentio.app.state.head]") == [True, -1], (
        "head 0 is the mean"
    )


def test_single_letters_can_be_switched_off(open_page: Open, seed: int) -> None:
    tab = open_page(page(1, 2), color_scheme="light")
    tab.keyboard.press("Shift+?")
    tab.get_by_label("Single letters").uncheck()
    tab.keyboard.press("Escape")
    for key in ("t", "s", "]", "Shift+?"):
        tab.keyboard.press(key)
    assert tab.evaluate("[attentio.app.state.theme, attentio.app.state.scale]") == ["light", "sqrt"]
    assert not tab.get_by_role("dialog").is_visible()


def test_choices_that_change_nothing_in_a_view_are_not_shown_there(open_page: Open, seed: int) -> None:
    weights = heads(2, 2)
    tab = open_page(view(weights, ["▁a", "b", *TEXT[2:]]))
    for name, there in (("heat", True), ("arcs", True), ("steps", False)):
        tab.click(f"#tab-{name}")
        assert tab.locator("#choices").get_by_label("Colour scale").is_visible() == there
        assert tab.get_by_label("Join sub-words").is_visible() == there


def luminance(colour: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_words_numbers_and_borders_have_enough_contrast(open_page: Open, seed: int) -> None:
    tab = open_page(page(3, 4))
    tab.locator(".said-large").wait_for()
    for theme in ("light", "dark"):
        tab.evaluate(f"attentio.app.set({{theme: '{theme}'}})")
        check_contrast(tab)


def check_contrast(tab: Any) -> None:
    cells = tab.evaluate(
        "Array.from({length: 101}, (_, at) => attentio.colours.cell(attentio.app, {code: 3, value: at / 100}, 7))"
    )
    names = {"#ffffff": "rgb(255, 255, 255)", "#000000": "rgb(0, 0, 0)"}
    assert min(contrast(cell["fill"], names[cell["ink"]]) for cell in cells) >= 4.5
    texts = tab.evaluate(
        "[...document.querySelectorAll('body *')].filter(node => node.checkVisibility() && [...node.childNodes]"
        ".some(child => child.nodeType === 3 && child.data.trim())).map(node => { let at = node, ground;"
        " do { ground = getComputedStyle(at).backgroundColor; at = at.parentElement; }"
        " while (at && /, 0\\)$|transparent/.test(ground));"
        " return [node.textContent.slice(0, 40), getComputedStyle(node).color, ground]; })"
    )
    weak = [(text, contrast(ink, ground)) for text, ink, ground in texts if contrast(ink, ground) < 4.5]
    assert not weak
    edges = tab.evaluate(
        "[...document.querySelectorAll('button.icon, select, .chip-kind')].filter(node => node.checkVisibility())"
        ".map(node => [getComputedStyle(node).borderTopColor, getComputedStyle(document.body).backgroundColor])"
    )
    assert min(contrast(*pair) for pair in edges) >= 3


def test_everything_has_a_name_and_a_role(open_page: Open, seed: int) -> None:
    """What axe would say of names, roles and ids, by the browser's own tree of accessibility."""
    tab = open_page(page(3, 4))
    tab.locator(".said-large").wait_for()
    tree = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "checkbox", "slider", "tab", "gridcell", "tabpanel", "grid", "application", "dialog"}
    unnamed = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored") and node.get("role", {}).get("value") in roles and not node["name"]["value"].strip()
    ]
    assert not unnamed
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))
    for name in ("aria-controls", "aria-labelledby", "aria-describedby"):
        for each in tab.evaluate(
            f"[...document.querySelectorAll('[{name}]')].map(node => node.getAttribute('{name}'))"
        ):
            assert each in ids
    headings = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(node => +node.tagName[1])")
    assert headings[0] == 1
    assert all(later - before <= 1 for before, later in pairwise(headings))


def test_colours_forced_by_the_reader_still_show_what_is_chosen(open_page: Open, seed: int) -> None:
    from playwright.sync_api import expect  # where there is none, the tab above was skipped

    tab = open_page(page(2, 2), forced_colors="active")
    expect(tab.locator(".thumb[aria-selected=true]")).to_have_css("outline-style", "solid")


def test_64_to_128_tokens_fit_the_screen_too(open_page: Open, seed: int) -> None:
    for count in (64, 128, 160):
        weights = torch.randn(count, count).softmax(-1)
        tab = open_page(view(weights, [f"w{n}" for n in range(count)]))
        tab.locator(".said-large").wait_for()
        settled(tab)
        beyond = tab.locator("#panel-heat .scroller").evaluate(
            "node => Math.max(node.scrollWidth - node.clientWidth, node.scrollHeight - node.clientHeight)"
        )
        assert beyond <= 1, count


def test_repeated_tokens_are_told_apart_and_next_to_nothing_is_left_out(open_page: Open, seed: int) -> None:
    row = torch.tensor([0.6, 0.3, 0.0999, 1e-4, 4.8e-7])
    tab = open_page(view(row.expand(5, 5), ["a", "b", "a", "c", "d"]))
    tab.locator(".profile li").first.wait_for()
    assert [text.split() for text in tab.locator(".profile li").all_inner_texts()] == [
        ["a", "0", "60", "%"], ["b", "30", "%"], ["a", "2", "10", "%"],
    ]  # fmt: skip


def test_an_even_page_opens_too(open_page: Open) -> None:
    tab = open_page(view(torch.full((2, 2, 3, 3), 1 / 3), list("abc")))
    assert "nearly evenly" in tab.locator(".does").inner_text()
    assert "even" in DULL
    assert math.isclose(tab.evaluate("attentio.app.does().evenness"), 1, abs_tol=1e-3)


def test_colours_may_be_relative_and_leave_a_sink_or_special_tokens_out(open_page: Open, seed: int) -> None:
    weights = torch.rand(7, 7).softmax(-1) * 0.2
    weights[:, 2] += 0.8
    tab = open_page(view(weights, ["[CLS]", *TEXT[1:6], "[SEP]"]))
    tab.locator(".said-large").wait_for()
    tones = (
        "(async () => { const matrix = await attentio.app.matrix(), tones = attentio.tones(attentio.app, matrix);"
        " const each = (make) => Array.from({length: 7}, (_, at) => make(at));"
        " return each((i) => each((j) => { const {code, value} = tones.at(i, j);"
        " return code < 3 ? -1 : attentio.colours.position(value, attentio.app.state.scale, 2); })); })()"
    )
    exact = weights.half().double()
    choices = tab.locator("#choices")
    choices.get_by_label("Colour scale").select_option("row")
    torch.testing.assert_close(
        torch.tensor(tab.evaluate(tones)).double(), (exact / exact.amax(-1, True)).sqrt(), atol=1e-3, rtol=0
    )
    choices.get_by_label("Colour scale").select_option("even")
    expected = ((7 * exact).log2() / 6 + 0.5).clamp(0, 1)
    torch.testing.assert_close(torch.tensor(tab.evaluate(tones)).double(), expected, atol=1e-3, rtol=0)
    choices.get_by_label("Colour scale").select_option("row")
    choices.get_by_label("Leave out").select_option("sink")
    left = exact.clone()
    left[:, 2] = 0
    expected = (left / left.amax(-1, True)).sqrt()
    expected[:, 2] = -1
    torch.testing.assert_close(torch.tensor(tab.evaluate(tones)).double(), expected, atol=1e-3, rtol=0)
    choices.get_by_label("Leave out").select_option("special")
    assert [at for at, tone in enumerate(tab.evaluate(tones)[3]) if tone == -1] == [0, 6]
    assert "[SEP]" in tab.evaluate("attentio.app.tokens('key')")
    assert "without=special" in tab.evaluate("location.hash")


def test_a_kind_that_no_head_has_on_another_text_hides_none_of_them(open_page: Open, seed: int) -> None:
    weights = torch.full((2, 1, 4, 7, 7), 1 / 7)
    weights[0] = heads(1, 4)[0]
    calls = [
        SeenAttention(name="layer.0", call=0, kind="self", heads=(0, 1, 2, 3), weights=weights[:, 0].half(), keys=7)
    ]
    tab = open_page(view(Seen(calls, tokens=[TEXT, TEXT]), [TEXT, TEXT]))
    tab.locator(".chip-kind[data-kind=previous]").click()
    tab.evaluate("attentio.app.set({item: 1})")
    settled(tab)
    assert tab.evaluate("attentio.app.state.kind") is None
    tab.get_by_label("Order").select_option("kind")
    assert tab.locator("[role=gridcell]").count() == 4
