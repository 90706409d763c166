"""The mask workshop: its masks are attentio's own, its weights the softmax of the masked scores."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from page_cases import read_number, settled

import attentio as at
from attentio.attention.mask import Mask
from attentio.commands.main import main
from attentio.page.page import view
from attentio.page.workshop import workshop

Open = Callable[..., Any]
Term = dict[str, Any]


def tokens(count: int, letter: str = "k") -> list[str]:
    return [f"{letter}{place}" for place in range(count)]


def opened(open_page: Open, count: int = 7, *, keys: int = 0, **options: Any) -> Any:
    tab = open_page(workshop(" ".join(tokens(count)), " ".join(tokens(keys, "o"))), **options)
    tab.wait_for_selector(".grids canvas")
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


def shown(tab: Any, name: str) -> np.ndarray:
    """What the grids show: allowed, scores before the mask, weights."""
    return np.array(tab.evaluate(f"attentio.workshop.shown.{name}"))


def shown_mask(tab: Any) -> np.ndarray:
    return shown(tab, "allowed")


def place(tab: Any, grid: int, i: int, j: int) -> tuple[float, float]:
    """The middle of a cell on the screen."""
    canvas = tab.locator(".grids canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    cell, corners = tab.evaluate(
        "(() => { const width = document.querySelector('.grids').clientWidth;"
        " const scene = attentio.workshopPicture.scene(attentio.app, attentio.workshop.pairs());"
        " const {cell, corners} = attentio.gridsPicture.layout({...scene, width}); return [cell, corners]; })()"
    )
    return box["x"] + corners[grid][0] + (j + 0.5) * cell, box["y"] + corners[grid][1] + (i + 0.5) * cell


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


def test_parameters_of_every_term_change_mask_and_weights_at_once(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    tab.locator(".adding button", has_text="at.window").click()
    tab.get_by_label("Tokens before").fill("3")
    tab.locator(".adding button", has_text="at.segments").click()
    tab.locator(".chip").nth(4).click()  # the segment that began in the middle goes on
    tab.locator(".chip").nth(2).click()  # another begins here
    ids = torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
    mask = own(at.causal() & at.window(3, 0) & at.segments(ids, ids), 7, 7)
    np.testing.assert_array_equal(shown_mask(tab), mask)
    exp = np.where(mask, np.exp(shown(tab, "scores")), 0)
    np.testing.assert_allclose(shown(tab, "weights"), exp / exp.sum(-1, keepdims=True), atol=1e-9)


def test_pointed_pair_is_read_in_full_with_what_each_term_says(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    tab.click("[data-preset=mistral]")
    tab.mouse.move(*place(tab, 2, 5, 4))
    text = tab.locator("#panel-workshop .readout").inner_text()
    scores = shown(tab, "scores")[5]
    exp = np.exp(scores)
    right = [scores[4], exp[4] / exp[2:6].sum(), exp[4] / exp.sum()]
    numbers = [
        text.split(mark)[1].split(end)[0] for mark, end in (("Score ", ","), ("weight ", ";"), ("a mask ", ".\n"))
    ]
    numbers[2] = numbers[2].removesuffix(".")
    assert [read_number(number) for number in numbers] == pytest.approx(right, rel=0.0051)
    assert "may attend (at.causal ✓ · at.window ✓)" in text
    tab.mouse.move(*place(tab, 0, 5, 6))
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
    assert not shown(tab, "weights")[6].any()
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


def test_another_sentence_is_typed_and_another_one_looked_at(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    assert "invented" in tab.locator("#panel-workshop").inner_text()
    tab.get_by_label("Sentence", exact=True).fill("to be or")
    np.testing.assert_array_equal(shown_mask(tab), own(at.causal(), 3, 3))
    tab.get_by_label("Keys of another sentence").fill("sein oder nicht sein")
    assert shown_mask(tab).shape == (3, 4)
    assert shown_mask(tab).all()  # attention to another sentence hides nothing at first
    tab.get_by_label("Sentence", exact=True).fill(" ".join(tokens(300)))
    assert shown_mask(tab).shape == (128, 4)
    assert "first 128 tokens" in tab.locator("#panel-workshop").inner_text()


def test_128_tokens_are_one_canvas_and_fit_every_screen(open_page: Open, seed: int) -> None:
    for width in (390, 1280):
        tab = opened(open_page, 128, viewport={"width": width, "height": 800})
        settled(tab)
        assert tab.locator("canvas").count() == 1
        assert tab.locator("*").count() < 500
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_hangul_and_single_letters_stand_upright(open_page: Open, seed: int) -> None:
    tab = open_page(workshop("나 는 집 에 가 요"))
    scene = "attentio.workshopPicture.scene(attentio.app, attentio.workshop.pairs())"
    upright = f"attentio.gridsPicture.layout({{...{scene}, width: 1200}}).upright"
    assert tab.evaluate(upright)
    tab.get_by_label("Sentence", exact=True).fill("internationalisation is long")
    assert not tab.evaluate(upright)


def test_grid_is_walked_through_by_keyboard_and_said(open_page: Open, seed: int) -> None:
    tab = opened(open_page)
    tab.locator(".grids canvas").focus()
    for key in ("ArrowUp", "ArrowDown", "ArrowRight", "ArrowRight"):
        tab.keyboard.press(key)
    said = tab.locator("#said").inner_text()
    assert "k1" in said
    assert "k2" in said
    assert "may not attend" in said


def test_workshop_is_saved_as_svg_and_speaks_korean(open_page: Open, seed: int) -> None:
    tab = opened(open_page, color_scheme="dark", locale="ko-KR")
    assert tab.locator("h1").inner_text() == "마스크 작업실"
    assert tab.locator("[data-preset=packed]").inner_text() == "이어 붙인 문서"
    with tab.expect_download() as download:
        tab.get_by_role("button", name="SVG").click()
    svg = download.value.path().read_text(encoding="utf-8")
    assert "at.causal()" in svg
    assert all(token in svg for token in tokens(7))
    assert svg.count("<rect") >= 3 * 28


def test_a_saved_page_of_attention_has_no_workshop(open_page: Open) -> None:
    html = view(torch.full((2, 2), 0.5), ["a", "b"]).html
    assert "workshop" not in html.lower().replace("payload.workshop", "").replace("workshop.title", "")


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "masks.html"
    assert main(["workshop", "to be or", "--keys", "sein </script>", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out.replace("\n", "")
    page = out.read_text(encoding="utf-8")
    assert '"text": "to be or", "keys": "sein \\u003c/script>"' in page
    assert main(["workshop", "--out", str(tmp_path / "masks.txt")]) == 2
    assert "a page is written as .html" in capsys.readouterr().err
