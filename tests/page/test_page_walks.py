"""The whole step of a run's model: the page's numbers are those that the model computes, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from page_cases import read_number
from untrained_runs import untrained

Open = Callable[..., Any]
TEXT = "abcdefgh"
CLOSE = {"rtol": 0.0051, "atol": 1e-5}
"""Three digits are shown."""


def talkative(**model: Any) -> Any:
    """A run that says at least five tokens."""
    while len((run := untrained(**model)).translate([TEXT])[0].ids) < 5:
        pass
    return run


class Shown:
    """The page's steps of one query."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        tab.click("#tab-steps")
        tab.wait_for_selector(".equation li")
        self.names = tab.evaluate("[...document.querySelectorAll('.equation > li')].map(each => each.dataset.stage)")

    def at(self, step: str) -> None:
        self.tab.evaluate(f"document.querySelector('.equation [data-stage={step}] > button').click()")

    def vectors(self, step: str) -> dict[str, np.ndarray]:
        self.at(step)
        rows = self.tab.evaluate(
            "[...document.querySelectorAll('.detail .vector')].map("
            "row => [row.querySelector('code').textContent, row.querySelector('.few').textContent])"
        )
        return {symbol: numbers(few) for symbol, few in rows}

    def column(self, step: str, place: int) -> np.ndarray:
        """A column of the keys, from the last one, -1."""
        self.at(step)
        cells = self.tab.eval_on_selector_all(
            ".keys tbody tr",
            f"rows => rows.map(row => [...row.querySelectorAll('td')].at({place}).lastChild?.textContent ?? '')",
        )
        return np.array([read_number(cell) if cell.strip() else np.nan for cell in cells])

    def said(self, step: str) -> str:
        self.at(step)
        return self.tab.evaluate("document.querySelector('.with-numbers').textContent")


def numbers(text: str) -> np.ndarray:
    return np.array([read_number(each) for each in text.strip("()").removesuffix(", …").split(", ")])


def shown(open_page: Open, run: Any, query: int, **options: Any) -> tuple[Shown, Any]:
    inspected = run.inspect(TEXT)
    tab = open_page(inspected.page(), **options)
    tab.evaluate("attentio.app.set({layer: attentio.app.group().entries.length - 1, head: 0})")
    page = Shown(tab)
    page.tab.locator(".steps-bar input").fill(str(query))
    return page, inspected


def naive(run: Any, ids: list[int], query: int) -> dict[str, np.ndarray]:
    """The model's states and outputs at a step, in float64, by its own steps; and the encoder's outputs."""
    model = run.model.double()
    source = [*run.tokenizers.source.encode(TEXT), run.source_end]
    with torch.inference_mode():
        memory = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
        state = model.start(memory)
        for token in [run.begin, *ids][: query + 1]:
            before, fed = state.layers[-1][0], state.fed
            logits, weights, state = model.step(torch.tensor([[token]]), state)
    of = {"before": before, "state": state.layers[-1][0], "logits": logits, "weights": weights, "h": memory.outputs[0]}
    if fed is not None:
        of |= {"fed": fed, "vector": state.fed}
    embedding = model.decoder.embedding.weight[token]
    return {name: tensor.detach().squeeze().numpy() for name, tensor in (of | {"embedding": embedding}).items()}


def words_of(page: Shown) -> dict[str, float]:
    page.at("words")
    rows = page.tab.evaluate(
        "[...document.querySelectorAll('.words tbody tr')].map("
        "row => [row.querySelector('bdi').textContent, row.lastChild.textContent])"
    )
    return {token: read_number(chance) / 100 for token, chance in rows}


def check_words(page: Shown, inspected: Any, run: Any, right: dict[str, np.ndarray], query: int) -> None:
    chances = np.exp(right["logits"] - right["logits"].max())
    chances /= chances.sum()
    listed = words_of(page)
    assert len(listed) >= 6
    for token, chance in listed.items():
        identity = run.tokenizers.target.tokens(range(len(chances))).index(token.replace("␣", " "))
        assert chance == pytest.approx(chances[identity], rel=0.0051)
    said = inspected.target_tokens[query].replace(" ", "␣")
    assert page.tab.locator(".words tr[aria-current] bdi").inner_text() == said
    assert page.said("words").startswith(f"p(“\u2068{said}\u2069”) = exp(")


def test_bahdanaus_whole_step_has_the_models_numbers(open_page: Open, seed: int) -> None:
    run, query = talkative(attention="bahdanau", cell="gru"), 2
    page, inspected = shown(open_page, run, query)
    assert page.names == [
        "read", "compare", "mask", "normalize", "aggregate", "state", "maxout", "words", "onward"
    ]  # fmt: skip
    ids = run.translate([TEXT])[0].ids
    page.at("read")
    read = inspected.target_tokens[query - 1].replace(" ", "␣")
    assert f"“\u2068{read}\u2069”" in page.tab.locator(".what").inner_text()
    right = naive(run, ids, query)
    score = run.model.decoder.attention.score
    w, b, u, v = (
        each.detach().numpy() for each in (score.query.weight, score.query.bias, score.key.weight, score.vector)
    )
    met = np.tanh(w @ right["before"] + b + right["h"] @ u.T)
    np.testing.assert_allclose(page.column("compare", -1), met @ v, **CLOSE)
    page.tab.locator(".keys tbody tr").nth(4).hover()
    cells = [page.tab.locator(".products tr").nth(row).locator("td").all_inner_texts() for row in (3, 5)]
    np.testing.assert_allclose([read_number(each) for each in cells[0][:5]], met[4, :5], **CLOSE)
    np.testing.assert_allclose([read_number(each) for each in cells[1][:5]], (met * v)[4, :5], **CLOSE)
    assert read_number(cells[1][-1]) == pytest.approx(met[4] @ v, rel=0.0051)
    np.testing.assert_allclose(page.column("normalize", -1), right["weights"], **CLOSE)
    right["context"] = right["weights"] @ right["h"]
    there = page.vectors("state")
    assert list(there) == ["sₜ₋₁", "xₜ", "cₜ", "sₜ"]
    for few, name in zip(there.values(), ("before", "embedding", "context", "state"), strict=True):
        np.testing.assert_allclose(few, right[name][:4], rtol=0.0051, atol=1e-6)
    check_words(page, inspected, run, right, query)
    following = page.vectors("onward")
    np.testing.assert_allclose(following["xₜ₊₁"], naive(run, ids, query + 1)["embedding"][:4], **CLOSE)
    assert "step 4 reads it" in page.said("onward")


def test_local_attention_shows_its_window_its_gaussian_and_what_is_fed_on(open_page: Open, seed: int) -> None:
    run, query, d = talkative(attention="luong", score="general", local="p", window=2), 1, 2
    page, inspected = shown(open_page, run, query)
    assert page.names == [
        *("read", "state", "window", "compare", "mask", "normalize", "gaussian", "aggregate"),
        *("attentional", "words", "onward"),
    ]
    right = naive(run, run.translate([TEXT])[0].ids, query)
    first, last = (run.model.decoder.attention.predict[place].weight.detach().numpy() for place in (0, 2))
    keys = len(right["h"])
    centre = keys / (1 + np.exp(-(last[0] @ np.tanh(first @ right["state"]))))
    said = page.said("window")
    assert read_number(said.split(" = ")[2].split(",")[0]) == pytest.approx(centre, rel=0.0051)
    inside = np.abs(np.arange(keys) - np.round(centre)) <= d
    assert page.tab.locator(".window .inside").count() == inside.sum()
    score = right["h"] @ run.model.decoder.attention.score.key.weight.detach().numpy().T @ right["state"]
    np.testing.assert_allclose(page.column("compare", -1)[inside], score[inside], **CLOSE)
    assert np.isnan(page.column("compare", -1)[~inside]).all(), "what is outside is not compared"
    np.testing.assert_array_equal(page.column("mask", -1) == -np.inf, ~inside)
    soft = np.where(inside, np.exp(score - score[inside].max()), 0)
    gaussian = np.exp(-((np.arange(keys) - centre) ** 2) / (2 * (d / 2) ** 2))
    np.testing.assert_allclose(page.column("normalize", -1), soft / soft.sum(), **CLOSE)
    np.testing.assert_allclose(page.column("gaussian", -1), soft / soft.sum() * gaussian, **CLOSE)
    np.testing.assert_allclose(page.column("gaussian", -1), right["weights"], **CLOSE)
    assert list(page.vectors("state")) == ["sₜ₋₁", "xₜ", "h̃ₜ₋₁", "sₜ"]
    np.testing.assert_allclose(page.vectors("state")["h̃ₜ₋₁"], right["fed"][:4], rtol=0.0051, atol=1e-6)
    np.testing.assert_allclose(page.vectors("attentional")["h̃ₜ"], right["vector"][:4], rtol=0.0051, atol=1e-6)
    np.testing.assert_allclose(page.vectors("onward")["h̃ₜ"], right["vector"][:4], rtol=0.0051, atol=1e-6)
    check_words(page, inspected, run, right, query)


def test_a_transformers_block_is_shown_around_its_attention_on_a_phone_in_korean(open_page: Open, seed: int) -> None:
    run = talkative(encoder="transformer", decoder="transformer", decoder_layers=2)
    options = {"viewport": {"width": 390, "height": 844}, "locale": "ko-KR", "color_scheme": "dark"}
    page, inspected = shown(open_page, run, 1, **options)
    assert page.names == [
        *("attended", "project", "compare", "mask", "normalize", "aggregate", "heads", "added_normed"),
        *("fed_forward", "added_normed", "words", "onward"),
    ]
    walk, seen = inspected.walks[-1], inspected.seen[-1]
    projected = page.vectors("project")
    key = page.tab.evaluate("attentio.app.state.column")
    assert key == int(seen.weights[0, 0, 1].argmax())
    for symbol, right in (("q", seen.query[0, 0, 1]), ("kⱼ", seen.key[0, 0, key]), ("vⱼ", seen.value[0, 0, key])):
        np.testing.assert_allclose(projected[symbol], right[:4].double(), **CLOSE)
    page.at("heads")
    few = numbers(page.tab.locator(".detail .few").inner_text())
    np.testing.assert_allclose(few, walk.after[0].vectors[0].numbers[1, :4], rtol=0.0051, atol=1e-6)
    last = len(inspected.target_tokens) - 1
    page.tab.locator(".steps-bar input").fill(str(last))
    assert "마지막 토큰" in page.said("onward")
    forward = page.tab.get_by_role("button", name="다음 단계")
    assert forward.is_disabled()
    assert forward.is_visible()
    width = page.tab.evaluate("document.documentElement.scrollWidth")
    assert width == 390, "nothing stands out at the side"
    page.tab.evaluate("attentio.app.set({layer: 0})")
    page.tab.wait_for_selector(".equation > li:nth-child(10)")
    assert page.tab.locator(".equation > li").count() == 10, "the first layer says nothing"
    assert page.tab.locator(".equation .covered").count() == 9, "other steps start covered"
