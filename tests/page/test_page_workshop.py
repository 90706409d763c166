"""The mask workshop: its masks are attentio's own, its weights the softmax of the masked scores."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from page_cases import attention, drawn, read_number, settled

import attentio as at
from attentio.attention.mask import Mask
from attentio.capturing.seen import Seen
from attentio.page.page import view

Open = Callable[..., Any]
Term = dict[str, Any]


def tokens(count: int, letter: str = "k") -> list[str]:
    return [f"{letter}{place}" for place in range(count)]


def opened(open_page: Open, count: int = 7, *, parts: bool = True, **options: Any) -> Any:
    call = attention(**drawn(queries=count, keys=count))
    page = view(Seen([call]) if parts else call.weights[0], tokens(count))
    tab = open_page(page, **options)
    tab.click("#tab-workshop")
    tab.wait_for_selector("#panel-workshop .mask tbody td")
    tab.wait_for_selector("#panel-workshop .mask tbody td:not(:empty)")
    return tab


def random_mask(queries: int, keys: int, depth: int = 0) -> tuple[Term, Mask]:
    """A random expression: as data for the page, and as attentio's mask."""
    kind = random.choice(["causal", "padding", "window", "segments", *(["and", "or", "not"] if depth < 3 else [])])
    if kind == "causal":
        align = random.choice(["end", "start"])
        return {"kind": kind, "align": align}, at.causal(align=align)
    if kind == "padding":
        length = random.randint(0, keys)
        return {"kind": kind, "length": length}, at.padding(torch.tensor([length]))
    if kind == "window":
        before, after = random.randint(0, keys), random.randint(0, keys)
        return {"kind": kind, "before": before, "after": after}, at.window(before, after)
    if kind == "segments":
        q, k = ([random.randint(0, 2) for _ in range(count)] for count in (queries, keys))
        return {"kind": kind, "queryIds": q, "keyIds": k}, at.segments(torch.tensor([q]), torch.tensor([k]))
    inner, mask = random_mask(queries, keys, depth + 1)
    if kind == "not":
        return {"kind": kind, "inner": inner}, ~mask
    other, right = random_mask(queries, keys, depth + 1)
    return {"kind": kind, "left": inner, "right": other}, mask & right if kind == "and" else mask | right


def own(mask: Mask | None, queries: int, keys: int) -> np.ndarray:
    if mask is None:
        return np.ones((queries, keys), dtype=bool)
    return mask.materialize(queries, keys).expand(1, queries, keys)[0].numpy()


def python(tab: Any) -> Mask | None:
    """The mask that the page's Python makes when it is run."""
    names: dict[str, Any] = {"at": at, "torch": torch}
    exec(tab.locator(".python").inner_text(), names)
    return names["mask"]


def cells(tab: Any, grid: str) -> list[list[str]]:
    return tab.evaluate(
        "grid => [...document.querySelectorAll(`.workshop-grids .${grid} tbody tr`)]"
        ".map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))",
        grid,
    )


def shown_mask(tab: Any) -> np.ndarray:
    return np.array(cells(tab, "mask")) == "■"


def test_masks_of_the_page_equal_attentios_own_for_random_expressions(open_page: Open, seed: int) -> None:
    random.seed(seed)
    tab = opened(open_page, 3)
    for _ in range(150):
        queries, keys = random.randint(1, 7), random.randint(1, 11)
        data, mask = random_mask(queries, keys)
        shown = tab.evaluate("([mask, q, k]) => attentio.masks.materialize(mask, q, k)", [data, queries, keys])
        np.testing.assert_array_equal(np.array(shown), own(mask, queries, keys), err_msg=str(data))


def test_python_of_a_random_expression_makes_the_same_mask(open_page: Open, seed: int) -> None:
    random.seed(seed)
    tab = opened(open_page, 3)
    for _ in range(150):
        queries, keys = random.randint(1, 7), random.randint(1, 11)
        data, mask = random_mask(queries, keys)
        written = tab.evaluate("mask => attentio.masks.python(mask)", data)
        names: dict[str, Any] = {"at": at, "torch": torch}
        exec("\n".join([*written["definitions"], f"mask = {written['expression']}"]), names)
        np.testing.assert_array_equal(
            own(names["mask"], queries, keys), own(mask, queries, keys), err_msg=written["expression"]
        )


def test_presets_show_the_masks_that_their_python_makes(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    for preset in ("gpt", "bert", "longformer", "mistral", "packed", "prefix", "none"):
        tab.click(f"[data-preset={preset}]")
        right = own(python(tab), 7, 7)
        np.testing.assert_array_equal(shown_mask(tab), right, err_msg=preset)
        assert right.all() == (preset == "none")


def test_expression_reads_as_one_would_write_it(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    for kind in ("window", "padding", "segments"):
        tab.locator(".adding button", has_text=f"at.{kind}").click()
    tab.locator(".terms select").nth(2).select_option("or")
    tab.locator(".terms .not").nth(3).click()
    assert tab.locator(".python").inner_text().splitlines()[-1] == (
        "mask = (at.causal() & at.window(2, 0) | at.padding(lengths)) & ~at.segments(ids, ids)"
    )
    np.testing.assert_array_equal(shown_mask(tab), own(python(tab), 7, 7))


def test_parameters_of_every_term_change_mask_scores_and_weights_at_once(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=7, keys=7))
    tab = open_page(view(Seen([call]), tokens(7)))
    tab.click("#tab-workshop")
    tab.wait_for_selector("#panel-workshop .mask tbody td:not(:empty)")
    tab.evaluate("attentio.app.set({head: 1})")
    settled(tab)
    tab.locator(".adding button", has_text="at.window").click()
    tab.get_by_label("Tokens before").fill("3")
    tab.locator(".adding button", has_text="at.segments").click()
    tab.locator(".chip").nth(4).click()  # the segment that began in the middle goes on
    tab.locator(".chip").nth(2).click()  # another begins here
    ids = torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
    mask = own(at.causal() & at.window(3, 0) & at.segments(ids, ids), 7, 7)
    np.testing.assert_array_equal(shown_mask(tab), mask)
    scores = call.scores[0, 1].double().numpy()
    exp = np.where(mask, np.exp(scores), 0)
    weights = [[read_number(text) for text in row] for row in cells(tab, "weights")]
    np.testing.assert_allclose(weights, exp / exp.sum(-1, keepdims=True), atol=0.0051)
    shown = [[read_number(text) for text in row] for row in cells(tab, "scores")]
    np.testing.assert_allclose(shown, np.where(mask, scores, -np.inf), atol=0.051)


def test_pointed_pair_is_read_in_full_with_what_each_term_says(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=7, keys=7))
    tab = open_page(view(Seen([call]), tokens(7)))
    tab.click("#tab-workshop")
    tab.wait_for_selector("#panel-workshop .mask tbody td:not(:empty)")
    tab.evaluate("attentio.app.set({head: 0})")
    settled(tab)
    tab.click("[data-preset=mistral]")
    tab.locator(".weights tbody tr").nth(5).locator("td").nth(4).hover()
    text = tab.locator("#panel-workshop .readout").inner_text()
    scores = call.scores[0, 0, 5].double().numpy()
    exp = np.exp(scores)
    right = [scores[4], exp[4] / exp[2:6].sum(), exp[4] / exp.sum()]
    numbers = [
        text.split(mark)[1].split(end)[0] for mark, end in (("Score ", ","), ("weight ", ";"), ("a mask ", ".\n"))
    ]
    numbers[2] = numbers[2].removesuffix(".")
    assert [read_number(number) for number in numbers] == pytest.approx(right, rel=0.0051)
    assert "may attend (at.causal ✓ · at.window ✓)" in text
    tab.locator(".mask tbody tr").nth(5).locator("td").nth(6).hover()
    assert "may not attend (at.causal ✗ · at.window ✗)" in tab.locator("#panel-workshop .readout").inner_text()


def test_traps_are_warned_of(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    traps = lambda: tab.locator(".traps li").evaluate_all("items => items.map(item => item.dataset.trap)")  # noqa: E731
    assert traps() == []
    tab.locator(".adding button", has_text="at.window").click()
    tab.get_by_label("Tokens after").fill("2")
    assert traps() == []
    tab.locator(".terms select").nth(1).select_option("or")
    assert traps() == ["future"]
    assert "11 later keys" in tab.locator(".traps li").inner_text()  # 2 a query, 1 and 0 for the last two
    tab.click("[data-preset=gpt]")
    tab.locator(".terms .not").click()
    assert traps() == ["empty"]
    assert "k6" in tab.locator(".traps li").inner_text()
    assert cells(tab, "weights")[6] == ["0"] * 7
    tab.click("[data-preset=bert]")
    assert traps() == ["padded"]
    tab.click("[data-preset=none]")
    assert traps() == []


def test_fewer_queries_than_keys_show_what_align_means(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    tab.get_by_label("Queries: only the last").fill("3")
    np.testing.assert_array_equal(shown_mask(tab), own(at.causal(), 3, 7))
    tab.locator(".terms select").select_option("start")
    np.testing.assert_array_equal(shown_mask(tab), own(at.causal(align="start"), 3, 7))
    assert tab.locator(".traps li").evaluate_all("items => items.map(item => item.dataset.trap)") == ["start"]
    tab.click("[data-preset=packed]")
    np.testing.assert_array_equal(shown_mask(tab), own(python(tab), 3, 7))
    assert "query_ids = torch.tensor([[1, 1, 1]])" in tab.locator(".python").inner_text()


def test_without_parts_scores_are_invented_and_said_so(open_page: Open, seed: int) -> None:
    tab = opened(open_page, parts=False)
    assert "invented" in tab.locator("#panel-workshop").inner_text()
    weights = np.array([[read_number(text) for text in row] for row in cells(tab, "weights")])
    np.testing.assert_allclose(weights.sum(-1), 1, atol=0.04)
    assert "invented" not in opened(open_page).locator("#panel-workshop").inner_text()


def test_grid_is_walked_through_by_keyboard_and_said(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    assert tab.locator(".workshop-grids [tabindex='0']").count() == 1
    tab.locator(".workshop-grids [tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        tab.keyboard.press(key)
    assert "k1" in tab.locator("#said").inner_text()
    assert "k2" in tab.locator("#said").inner_text()
    assert "may not attend" in tab.locator("#said").inner_text()
    assert tab.locator(".mask tbody tr").nth(1).locator("td").nth(2).evaluate("cell => cell === document.activeElement")


def test_workshop_is_saved_as_svg_and_speaks_korean(open_page: Open, seed: int) -> None:
    tab = opened(open_page, color_scheme="dark", locale="ko-KR")
    assert tab.locator("[data-preset=packed]").inner_text() == "이어 붙인 문서"
    with tab.expect_download() as download:
        tab.get_by_role("button", name="SVG").click()
    svg = download.value.path().read_text(encoding="utf-8")
    assert "at.causal()" in svg
    assert all(token in svg for token in tokens(7))
    assert svg.count("<rect") >= 3 * 28
