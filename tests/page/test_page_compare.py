"""Two heads side by side, and several versions of what was seen on one page."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from page_cases import settled
from torch import Tensor

from attentio.capturing.capture import capture
from attentio.page.page import view

Open = Callable[..., Any]
TEXT = [f"w{number}" for number in range(7)]
GRIDS = (
    "(() => { const {queries, keys, grids} = attentio.compare.scene();"
    " const texts = (look) => queries.map((_, i) => keys.map((__, j) => look(i, j).text));"
    " return grids.map(({title, look}) => [title, texts(look)]); })()"
)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape).mul(2).softmax(-1).half()


def numbers(texts: list[list[str]]) -> Tensor:
    plain = [[float(text.replace("−", "-") or 0) for text in row] for row in texts]
    return torch.tensor(plain, dtype=torch.float64)


def compared(open_page: Open, page: Any) -> Any:
    tab = open_page(page)
    tab.click("#tab-compare")
    tab.locator("#panel-compare .grids canvas").wait_for()
    settled(tab)
    return tab


def test_two_versions_are_laid_side_by_side_with_their_difference(open_page: Open, seed: int) -> None:
    before, after = drawn(2, 3, 7, 7), drawn(2, 3, 7, 7)
    tab = compared(open_page, view({"before": before, "after": after}, TEXT))
    layer, head, row, column = tab.evaluate("['layer', 'head', 'row', 'column'].map(name => attentio.app.state[name])")
    (one, old), (other, new), (_, more) = tab.evaluate(GRIDS)
    assert (one, other) == (f"before: layer {layer + 1}, head {head + 1}", f"after: layer {layer + 1}, head {head + 1}")
    exact = [each[layer, head].double() for each in (before, after)]
    torch.testing.assert_close(numbers(old), exact[0], atol=0.0051, rtol=0)
    torch.testing.assert_close(numbers(new), exact[1], atol=0.0051, rtol=0)
    torch.testing.assert_close(numbers(more), exact[1] - exact[0], atol=0.0051, rtol=0)
    said = tab.locator("#panel-compare .reading").inner_text()
    assert f"w{row}" in said
    assert f"w{column}" in said
    moved = round(100 * (exact[1] - exact[0]).abs().sum(-1).mean().item() / 2)
    assert f"On average {moved} %" in tab.locator(".moved").inner_text()
    most = int((exact[1] - exact[0]).abs().argmax())
    first = tab.locator(".moved button").first.inner_text()
    assert f"w{most // 7}" in first
    assert f"w{most % 7}" in first
    tab.locator("#panel-compare .grids canvas").focus()
    tab.keyboard.press("ArrowLeft" if column else "ArrowRight")
    assert "points" in tab.locator("#said").inner_text()
    # Another head: of both versions.
    tab.evaluate("attentio.app.set({layer: 0, head: 1})")
    settled(tab)
    torch.testing.assert_close(numbers(tab.evaluate(GRIDS)[0][1]), before[0, 1].double(), atol=0.0051, rtol=0)


def test_a_head_is_pinned_and_others_compared_with_it(open_page: Open, seed: int) -> None:
    weights = drawn(2, 3, 7, 7)
    tab = compared(open_page, view(weights, TEXT))
    tab.evaluate("attentio.app.set({layer: 1, head: 2})")
    tab.get_by_role("button", name="Pin what is shown").click()
    settled(tab)
    assert tab.locator(".moved").inner_text().endswith("choose another head to compare with above.")
    tab.evaluate("attentio.app.set({layer: 0, head: 0})")
    settled(tab)
    (one, old), (other, new), _ = tab.evaluate(GRIDS)
    assert (one, other) == ("layer 2, head 3", "layer 1, head 1")
    torch.testing.assert_close(numbers(old), weights[1, 2].double(), atol=0.0051, rtol=0)
    torch.testing.assert_close(numbers(new), weights[0, 0].double(), atol=0.0051, rtol=0)
    with tab.expect_download() as download:
        tab.get_by_label("Save this view as SVG").click()
    assert "difference" in download.value.path().read_text(encoding="utf-8")


def test_texts_of_other_lengths_are_both_on_the_page_but_not_laid_over_one_another(open_page: Open, seed: int) -> None:
    page = view({"short": drawn(1, 2, 3, 3), "long": drawn(1, 2, 7, 7)}, {"short": list("abc"), "long": TEXT})
    tab = open_page(page)
    tab.click("#tab-compare")
    tab.locator("#panel-compare p", has_text="3 × 3 and 7 × 7").wait_for()
    assert tab.evaluate("attentio.app.tokens('key')") == TEXT
    tab.locator("#choices").get_by_label("Attention").select_option(label="short: self-attention")
    assert tab.evaluate("attentio.app.tokens('key')") == list("abc")
    tab.locator("#panel-compare .grids canvas").wait_for()


def test_versions_need_names_and_no_alternatives() -> None:
    even = torch.full((2, 2), 0.5)
    for given, others in (
        ({"one": even}, {}),
        ({"": even, "b": even}, {}),
        ({"a": even, "b": even}, {"alternatives": [[("a", 1.0)]]}),
    ):
        with pytest.raises(ValueError, match="several versions must be two or more with names"):
            view(given, ["a", "b"], **others)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="all versions must have as many sequences"):
        view({"a": (torch.full((2, 1, 2, 2), 0.5),), "b": even}, {"a": [["a", "b"]] * 2, "b": ["a", "b"]})


def read_cell(tab: Any, row: int, column: int) -> str:
    tab.evaluate(f"attentio.compare.read({row}, {column})")
    return tab.locator("#panel-compare .reading").inner_text().replace("\u2068", "").replace("\u2069", "")


def test_pieces_are_named_where_words_are_joined_elsewhere(open_page: Open, seed: int) -> None:
    pieces = ["▁the", "▁c", "at", "▁sat", "▁d", "own", "▁."]
    tab = open_page(view(drawn(2, 2, 7, 7), pieces))
    tab.evaluate("attentio.app.set({words: true, view: 'compare'})")
    tab.locator("#panel-compare .grids canvas").wait_for()
    settled(tab)
    assert read_cell(tab, 6, 4).startswith("“.” (“▁.”) looks at “d” (“▁d”): ")


def test_what_was_not_kept_is_no_difference_and_in_no_mean(open_page: Open, seed: int) -> None:
    layer, x = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(1, 7, 8)
    with torch.no_grad(), capture(layer) as full:
        layer(x, x, x)
    with torch.no_grad(), capture(layer, top_k=3) as top:
        layer(x, x, x)
    tab = compared(open_page, view({"full": full, "top": top}, TEXT))
    tab.evaluate("attentio.app.set({group: 1, head: 0, pin: {group: 0, layer: null, head: null}})")
    settled(tab)
    exact = full[0].weights[0, 0].double()
    kept = exact >= exact.topk(3).values[:, -1:]
    for key in range(7):
        said = read_cell(tab, 2, key)
        assert said.endswith(("(+0 points)", "(−0 points)")) if kept[2, key] else said.endswith("then not kept"), said
    assert "Most at" not in tab.locator(".moved").inner_text()
    assert "were not kept or are no numbers" in tab.locator(".moved").inner_text()
    both = torch.stack([head >= head.topk(3).values[:, -1:] for head in full[0].weights[0].double()]).all(0)
    mean = tab.evaluate(
        "attentio.data.headOf(attentio.app, 1, 0, -1).then(m => Array.from(m.codes, c => c < 3 ? -c : m.values[c]))"
    )
    known = torch.tensor(mean).reshape(7, 7) >= 0
    assert torch.equal(known, both)
    torch.testing.assert_close(
        torch.tensor(mean).reshape(7, 7)[both], full[0].weights[0].float().mean(0)[both], atol=2e-3, rtol=0
    )


def test_what_is_no_number_is_called_so(open_page: Open, seed: int) -> None:
    before, after = drawn(2, 3, 7, 7), drawn(2, 3, 7, 7)
    before[:, :, 2] = torch.nan
    tab = compared(open_page, view({"before": before, "after": after}, TEXT))
    assert "“w2” looks at “w1”: not a number, then " in read_cell(tab, 2, 1)
    assert all("w2 →" not in text for text in tab.locator(".moved button").all_inner_texts())
    tab.evaluate("attentio.app.set({group: 0, head: 0, view: 'heat', row: 2, column: 1})")
    settled(tab)
    assert tab.locator(".said-large").inner_text().endswith("looks at “\u2068w1\u2069”: not a number")
