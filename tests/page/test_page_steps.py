"""Step by step: the numbers that the page shows are those of the equation, in float64."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from page_cases import attention, drawn, read_number, settled

from attentio.attention.entmax import Entmax, Sparsemax
from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.page.page import view

Open = Callable[..., Any]
KEYS, QUERIES = 7, 5


def tokens(count: int, letter: str) -> list[str]:
    return [f"{letter}{place}" for place in range(count)]


def opened(open_page: Open, call: SeenAttention, *, covered: bool = False, **options: Any) -> Any:
    """The page at its steps; unless `covered`, at the last of them with nothing covered."""
    page = view(
        Seen([call]),
        tokens(call.keys, "k"),
        target_tokens=tokens(call.weights.shape[2], "q") if call.kind == "cross" else None,
    )
    tab = open_page(page, **options)
    tab.evaluate("attentio.app.set({head: 0, row: null, column: null})")
    tab.click("#tab-steps")
    tab.wait_for_selector("#panel-steps .keys tbody tr, #panel-steps .missing p")
    if not covered:
        tab.get_by_role("button", name="Show all").click()
        at(tab, "aggregate")
    return tab


def at(tab: Any, step: str) -> None:
    tab.locator(f".equation [data-stage={step}] > button").click()


def column(tab: Any, selector: str) -> np.ndarray:
    texts = tab.eval_on_selector_all(
        f".keys tbody tr td:{selector}", "cells => cells.map(cell => cell.lastChild.textContent)"
    )
    return np.array([read_number(text) for text in texts])


def dot_products(call: SeenAttention, head: int, query: int) -> np.ndarray:
    q, k = (getattr(call, name)[0, head].double().numpy() for name in ("query", "key"))
    return np.array([sum(a * b for a, b in zip(q[query], key, strict=True)) for key in k])


def expected(call: SeenAttention, head: int, query: int) -> dict[str, np.ndarray]:
    """The equation in float64 from the float16 parts, written plainly."""
    v = call.value[0, head].double().numpy()
    may = (
        (torch.ones if call.allowed is None else call.allowed.expand)(call.scores.shape)[0, head, query].bool().numpy()
    )
    dot = dot_products(call, head, query)
    score = dot * call.scale
    masked = np.where(may, score, -np.inf)
    exp = np.exp(masked)
    weight = exp / exp.sum()
    return {"dot": dot, "score": score, "masked": masked, "exp": exp, "weight": weight, "share": weight[:, None] * v,
            "sum": exp.sum(), "context": weight @ v}  # fmt: skip


def causal(size: int) -> torch.Tensor:
    return torch.ones(size, size, dtype=torch.bool).tril()


def choose_query(tab: Any, query: int) -> None:
    tab.locator(".steps-bar input").fill(str(query))
    assert tab.evaluate("attentio.app.state.row") == query


def test_every_column_of_the_table_equals_the_equation_in_float64(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS), allowed=causal(KEYS))
    tab = opened(open_page, call)
    tab.evaluate("attentio.app.set({head: 1})")
    settled(tab)
    choose_query(tab, 3)
    right = expected(call, 1, 3)
    columns = ("dot", "score", "masked", "exp", "weight")
    for place, name in enumerate(columns):
        np.testing.assert_allclose(column(tab, f"nth-of-type({place + 1})"), right[name], rtol=0.0051, atol=1e-30)
    for feature in range(3):
        shown = column(tab, f"nth-of-type({len(columns) + feature + 1})")
        np.testing.assert_allclose(shown, right["share"][:, feature], rtol=0.0051, atol=1e-30)
    sums = [text for text in tab.locator(".keys tfoot td").all_inner_texts() if text.strip() not in ("", "…")]
    np.testing.assert_allclose(
        [read_number(text) for text in sums], [right["sum"], 1, *right["context"][:3]], rtol=0.0051
    )


def test_lines_of_the_equation_have_the_numbers_of_the_chosen_pair(open_page: Open, seed: int) -> None:
    call = attention(kind="cross", **drawn(queries=QUERIES, keys=KEYS))
    tab = opened(open_page, call)
    choose_query(tab, 2)
    tab.locator(".keys tbody tr").nth(4).hover()
    right = expected(call, 0, 2)
    said = []
    for step in ("compare", "mask", "normalize", "aggregate"):
        at(tab, step)
        said.append(tab.locator(".with-numbers").inner_text())
    compare, mask, normalize, aggregate = said
    numbers = lambda text: [read_number(part) for part in text.split(" = ")[1].split(" × ")]  # noqa: E731
    assert numbers(compare) == pytest.approx([right["dot"][4], call.scale], rel=0.0051)
    assert read_number(compare.split(" = ")[-1]) == pytest.approx(right["score"][4], rel=0.0051)
    assert read_number(mask.removeprefix("may attend: ").removesuffix(" stays")) == pytest.approx(
        right["score"][4], rel=0.0051
    )
    fraction, weight = normalize.split(" = ")[1:]
    assert [read_number(part) for part in fraction.split(" / ")] == pytest.approx(
        [right["exp"][4], right["sum"]], rel=0.0051
    )
    assert read_number(weight) == pytest.approx(right["weight"][4], rel=0.0051)
    context = [read_number(part) for part in aggregate.split(" = ")[1].strip("()").split(", ")[:3]]
    assert context == pytest.approx(right["context"][:3].tolist(), rel=0.0051)


def test_products_of_query_and_key_are_shown_for_the_pointed_key(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    tab = opened(open_page, call)
    at(tab, "compare")
    choose_query(tab, 5)
    tab.locator(".keys tbody tr").nth(1).hover()
    q, k = call.query[0, 0, 5].double(), call.key[0, 0, 1].double()
    for row, right in enumerate((q, k, q * k)):
        texts = tab.locator(".products tbody tr").nth(row).locator("td").all_inner_texts()
        assert texts[5] == "…"
        assert [read_number(text) for text in texts[:5]] == pytest.approx(right[:5].tolist(), rel=0.0051)
    assert read_number(tab.locator(".products td.dot").last.inner_text()) == pytest.approx((q @ k).item(), rel=0.0051)


def test_forbidden_keys_show_minus_infinity_and_why(open_page: Open, seed: int) -> None:
    allowed = causal(KEYS)
    allowed[:, KEYS - 1] = False  # padding
    allowed[4:, 0] = False  # out of the window
    call = attention(**drawn(queries=KEYS, keys=KEYS), allowed=allowed)
    tab = opened(open_page, call)
    choose_query(tab, 4)
    cells = [
        text.replace("\u2007", "").replace("\u2008", "").strip()
        for text in tab.locator(".keys td.masked").all_inner_texts()
    ]
    assert cells[0] == "out of reach−∞"
    assert cells[5] == "later−∞"
    assert cells[6] == "padding−∞"
    assert not any("∞" in text for text in cells[1:5])
    tab.locator(".keys tbody tr").nth(5).click()
    at(tab, "mask")
    assert tab.locator(".with-numbers").inner_text() == "−∞: this key comes after the query (causal)"


def test_bias_is_shown_apart_and_weights_follow_from_the_sum(open_page: Open, seed: int) -> None:
    bias = 2 * torch.randn(KEYS, KEYS)
    call = attention(**drawn(queries=KEYS, keys=KEYS), bias=bias)
    tab = opened(open_page, call)
    choose_query(tab, 6)
    np.testing.assert_allclose(column(tab, "nth-of-type(3)"), bias[6], atol=0.02, rtol=0.01)
    np.testing.assert_allclose(column(tab, "nth-of-type(6)"), call.weights[0, 0, 6].double(), rtol=0.03, atol=1e-3)
    assert "bias" in tab.locator(".remarks").inner_text()


def test_rounding_of_float16_is_not_taken_for_a_bias(open_page: Open, seed: int) -> None:
    parts = drawn(queries=53, keys=53, features=61)
    call = attention(**{name: 3 * tensor for name, tensor in parts.items()})
    tab = opened(open_page, call)
    for query in range(0, 53, 13):
        choose_query(tab, query)
        assert tab.locator(".remarks").inner_text() == ""


def test_row_with_nothing_to_attend_to_has_weights_zero_and_says_so(open_page: Open, seed: int) -> None:
    allowed = causal(KEYS)
    allowed[2] = False
    tab = opened(open_page, attention(**drawn(queries=KEYS, keys=KEYS), allowed=allowed))
    choose_query(tab, 2)
    assert (column(tab, "nth-of-type(5)") == 0).all()
    at(tab, "normalize")
    assert "every weight is 0" in tab.locator(".with-numbers").inner_text()


def test_scores_too_large_for_exp_are_shifted(open_page: Open, seed: int) -> None:
    parts = drawn(queries=KEYS, keys=KEYS)
    call = attention(**{name: 23 * tensor for name, tensor in parts.items()})
    tab = opened(open_page, call)
    choose_query(tab, 1)
    np.testing.assert_allclose(column(tab, "nth-of-type(5)").sum(), 1, atol=0.01)
    score = dot_products(call, 0, 1) * call.scale
    right = np.exp(score - score.max())
    np.testing.assert_allclose(column(tab, "nth-of-type(5)"), right / right.sum(), rtol=0.0051, atol=1e-30)


def test_weights_that_are_not_the_softmax_of_the_scores_are_pointed_out(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    call.weights[0, 0, 3] = torch.eye(KEYS)[2].half()
    tab = opened(open_page, call)
    choose_query(tab, 2)
    assert tab.locator(".remarks").inner_text() == ""
    choose_query(tab, 3)
    assert "does something more" in tab.locator(".remarks").inner_text()


@pytest.mark.parametrize(("normalize", "alpha"), [(Sparsemax(), 2.0), (Entmax(1.3), 1.3)])
def test_the_page_computes_entmax_itself(open_page: Open, seed: int, normalize: Any, alpha: float) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS), allowed=causal(KEYS))
    masked = call.scores.double().masked_fill(~causal(KEYS), float("-inf"))
    weights = normalize(masked)
    tab = opened(open_page, dataclasses.replace(call, weights=weights.half(), alpha=alpha))
    choose_query(tab, 5)
    assert tab.locator(".remarks").inner_text() == ""
    # float16 of query and key moves the scores that the page starts from
    np.testing.assert_allclose(column(tab, "nth-of-type(5)"), weights[0, 0, 5].numpy(), rtol=0, atol=0.02)
    at(tab, "normalize")
    assert "exactly 0" in tab.locator(".what").inner_text()
    assert tab.locator(".with-numbers").inner_text().startswith("[")


def test_the_weights_of_a_function_that_the_page_does_not_know_are_shown_as_they_are(
    open_page: Open, seed: int
) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    weights = torch.rand_like(call.weights)
    tab = opened(open_page, dataclasses.replace(call, weights=weights, alpha=None))
    choose_query(tab, 2)
    np.testing.assert_allclose(column(tab, "nth-of-type(4)"), weights[0, 0, 2].float().numpy(), rtol=0.0051)
    assert tab.locator(".remarks").inner_text() == ""


STEP = "[...document.querySelectorAll('.equation button')].findIndex(x => x.getAttribute('aria-pressed') === 'true')"


def test_steps_start_covered_and_go_forward_to_the_last_query_and_back_to_the_first(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=2, keys=KEYS), kind="cross")
    tab = opened(open_page, call, covered=True)
    forward, backward = (tab.get_by_role("button", name=name) for name in ("Next step", "Back"))
    columns = [2, 2, 3, 5]  # q . k, scale; scale, mask; mask, exp, weight; weight, three features and "…"

    def seen() -> tuple[int, int]:
        step = tab.evaluate(STEP)
        counted = [".equation .covered", ".glance canvas", ".keys tbody tr:first-child td"]
        found = tab.evaluate("names => names.map(name => document.querySelectorAll(name).length)", counted)
        assert found == [3 - step, step + 1, columns[step]]
        return tab.evaluate("attentio.app.state.row"), step

    places = [(query, step) for query in range(2) for step in range(4)]
    assert (seen(), backward.is_disabled()) == ((0, 0), True)
    for place in places[1:]:
        forward.click()
        assert seen() == place
    assert forward.is_disabled()
    tab.keyboard.press("ArrowLeft")
    assert seen() == places[-2], "the button that was pressed last takes no more keys"
    for place in reversed(places[:-2]):
        backward.click()
        assert seen() == place


def test_arrow_keys_go_through_steps_queries_and_keys_and_are_said(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    tab = opened(open_page, call, covered=True)
    tab.evaluate("document.activeElement.blur()")
    said = tab.locator("#said")
    for step, name in enumerate(("Mask: may attend", "Softmax: exp("), 1):
        tab.keyboard.press("ArrowRight")
        assert tab.evaluate(STEP) == step
        assert said.inner_text().startswith(name)
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate(STEP) == 1
    tab.keyboard.press("Shift+ArrowRight")
    tab.keyboard.press("Shift+ArrowRight")
    strongest = int(np.argmax(expected(call, 0, 2)["weight"]))
    assert tab.evaluate("[attentio.app.state.row, attentio.app.state.column]") == [2, strongest]
    assert f"key k{strongest}" in said.inner_text()
    tab.keyboard.press("ArrowUp" if strongest else "ArrowDown")
    moved = strongest - 1 if strongest else 1
    assert tab.evaluate("attentio.app.state.column") == moved
    assert said.inner_text().startswith(f"Key k{moved}: score ")
    tab.keyboard.press("Shift+ArrowLeft")
    assert (tab.evaluate("attentio.app.state.row"), tab.evaluate(STEP)) == (1, 1)
    tab.locator("#tab-heat").click()
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate("attentio.app.state.row") == 1, "in another view the arrows are that view's"


def test_scores_that_are_no_dot_product_are_shown_as_captured(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    scores = torch.randn(1, 2, KEYS, KEYS).half()
    weights = scores.float().softmax(-1).half()
    tab = opened(open_page, dataclasses.replace(call, scores=scores, weights=weights, scale=None))
    choose_query(tab, 4)
    right = scores[0, 0, 4].double()
    np.testing.assert_allclose(column(tab, "nth-of-type(1)"), right, rtol=0.0051)
    np.testing.assert_allclose(column(tab, "nth-of-type(4)"), right.softmax(-1), rtol=0.0051)
    at(tab, "compare")
    assert "not a dot product" in tab.locator(".with-numbers").inner_text()


def test_steps_are_saved_as_svg_without_what_is_not_uncovered(open_page: Open, seed: int) -> None:
    tab = opened(open_page, attention(**drawn(queries=KEYS, keys=KEYS)))
    scores, weights = (
        [text.strip() for text in tab.locator(f".keys td.{kind}").all_text_contents()] for kind in ("score", "weight")
    )
    saved = []
    for _ in range(2):
        with tab.expect_download() as download:
            tab.get_by_role("button", name="SVG").click()
        saved.append(download.value.path().read_text(encoding="utf-8"))
        tab.get_by_role("button", name="Show all").click()
        at(tab, "compare")
    full, uncovered = saved
    assert all(f"k{key}" in each for each in saved for key in range(KEYS))
    assert all(number in full for number in scores + weights)
    assert all(number in uncovered for number in scores)
    assert not all(number in uncovered for number in weights)
    assert (full.count("<image"), uncovered.count("<image")) == (5, 1), "a strip for each step, and the context"


def test_without_parts_the_view_says_how_to_get_them(open_page: Open, seed: int) -> None:
    tab = open_page(view(torch.rand(2, 3, KEYS, KEYS).softmax(-1), tokens(KEYS, "k")))
    tab.click("#tab-steps")
    tab.wait_for_selector("#panel-steps .missing code")
    assert "parts=True" in tab.locator("#panel-steps .missing code").inner_text()
    assert not tab.locator(".steps").is_visible()


def test_tokens_are_shown_as_text_in_korean_and_dark(open_page: Open, seed: int) -> None:
    hostile = ["<script>window.hacked=1</script>", "<img/src=x/onerror=window.hacked=1>", "고양이"]
    page = view(Seen([attention(**drawn(queries=3, keys=3))]), hostile)
    tab = open_page(page, color_scheme="dark", locale="ko-KR")
    tab.click("#tab-steps")
    tab.wait_for_selector(".keys tbody tr")
    assert tab.locator(".keys tbody th bdi").all_text_contents() == hostile
    assert tab.evaluate("window.hacked") is None
    assert tab.locator(".steps .next").inner_text() == "다음 단계"
    assert tab.locator(".steps .back").inner_text() == "이전 단계"
    keys = tab.evaluate("Object.keys(attentio.app.payload.strings.en).sort()")
    assert keys == tab.evaluate("Object.keys(attentio.app.payload.strings.ko).sort()")


def test_weights_of_which_only_one_side_is_a_number_are_pointed_out(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    call.weights[0, 0, 3] = torch.nan
    tab = opened(open_page, call)
    choose_query(tab, 2)
    assert tab.locator(".remarks").inner_text() == ""
    choose_query(tab, 3)
    assert "only one is a number here" in tab.locator(".remarks").inner_text()


def test_scores_that_are_no_numbers_give_weights_that_are_none(open_page: Open, seed: int) -> None:
    call = attention(**drawn(queries=KEYS, keys=KEYS))
    call.query[0, 0, 3] = torch.nan
    call.scores[0, 0, 3] = torch.nan
    call.weights[0, 0, 3] = torch.nan
    tab = opened(open_page, call)
    choose_query(tab, 3)
    assert set(tab.evaluate("attentio.arithmetic.normalize([NaN, 1]).weights.map(String)")) == {"NaN"}
    assert "only one is a number" not in tab.locator(".remarks").inner_text()
