"""What a prompt and a notebook show: short lines, and bounded HTML that runs nothing and tells the right numbers."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import attentio as at
from attentio.capturing.record import SeenAttention
from attentio.notebook import GRIDS, POSITIONS, frame, grid, grids, line
from attentio.runs.aligned import Aligned
from attentio.runs.inspected import Inspected
from attentio.runs.outputs import Generated, SelfAttention

HOSTILE = "</title></svg><script>alert(1)</script><img src=x onerror='alert(2)'>\x1b[31m\ud800\u202e\""
LONGEST_LINE, LARGEST_HTML = 300, 200_000


class Elements(HTMLParser):
    """Names and attributes of all elements, all text, and the text of all <title>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.titles, self.open = "", [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open[-1:] == ["title"]:
            self.titles.append(data)


def numbers(drawn: str) -> dict[str, str]:
    """What each cell says when pointed at, by its place."""
    return dict(title.rsplit(": ", 1) for title in Elements(drawn).titles)


def seen_attention(q: int = 5, k: int = 7, heads: tuple[int, ...] = (1, 4), **more: Any) -> SeenAttention:
    weights = torch.rand(2, len(heads), q, k).softmax(-1).half()
    return SeenAttention(
        **{"name": "a", "call": 0, "kind": "cross", "heads": heads, "weights": weights, "keys": k, **more}
    )


def translation(tokens: list[str], source_tokens: list[str], text: str = "text") -> at.Translation:
    attention = torch.rand(len(tokens), len(source_tokens)).softmax(-1)
    return at.Translation(
        text, tokens, list(range(len(tokens))), source_tokens, -1.5, attention, False, [], [-0.5] * len(tokens)
    )


def finding(text: str) -> at.Finding:
    return at.Finding(text, "warning", text, text, {text: text}, text, text)


NAMES = (
    *("causal", "mask", "attended", "additive", "explanation", "seen attention", "seen", "finding", "diagnosis"),
    *("translation", "generated", "self-attention", "aligned", "inspected", "grade", "page"),
)


@cache
def values(size: int, text: str) -> dict[str, Any]:
    """One of each, with so many positions, and this text wherever a text may stand."""
    one = seen_attention(size, size, name=text)
    words = [text] * size
    weights = torch.rand(2, 5, size, size).softmax(-1)
    return {
        "causal": at.causal(),
        "mask": at.padding([size, 1] * size) & ~at.window(1, 1) | at.causal(align="start"),
        "attended": at.Attended(weights, weights),
        "additive": at.Additive(torch.rand(size)),
        "explanation": at.explain(weights, weights, weights),
        "seen attention": one,
        "seen": at.Seen([one] * size, notes=[f"{text}{i}" for i in range(size)]),
        "finding": finding(text),
        "diagnosis": at.Diagnosis(
            findings=[finding(text)], checked={text: 1.0}, skipped={text: text}, concluded={text: text}
        ),
        "translation": translation(words, words, text),
        "generated": Generated(text, words, list(range(size)), -2.0, False),
        "self-attention": SelfAttention(words, weights),
        "aligned": Aligned(words, words, [], [], weights[0, 0]),
        "inspected": Inspected(title=text, text=text, seen=at.Seen([one]), tokens=words),
        "grade": at.grade(lambda q, k: q @ k.mT, "luong-dot", seed=1),
        "page": at.view(torch.eye(2), ["a", "b"], title=text),
    }


@pytest.mark.parametrize("name", NAMES)
def test_html_runs_nothing_fetches_nothing_and_shows_hostile_text_as_text(name: str) -> None:
    value = values(3, HOSTILE)[name]
    assert "\x1b" not in repr(value)
    if not hasattr(value, "_repr_html_") or name in ("page", "inspected"):  # a page has tests of its own
        return
    drawn = value._repr_html_()
    drawn.encode()
    assert not re.search("[\x1b\u202e]", drawn)
    allowed = {"div", "b", "span", "svg", "rect", "title", "text"}
    for tag, attributes in Elements(drawn).found:
        assert tag in allowed
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "src", "class", "id")]
        # The reader's theme gives text and background their colours.
        assert not re.search("background|url|(^|[^-])color:", attributes.get("style") or "")
        assert tag != "text" or "fill" not in attributes


@pytest.mark.parametrize("name", NAMES)
def test_large_values_are_told_shortly_and_drawn_within_bounds(name: str) -> None:
    value = values(200, "a")[name]
    lines = repr(value).splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) < LONGEST_LINE
    if hasattr(value, "_repr_html_") and name not in ("page", "inspected"):
        assert len(value._repr_html_()) < LARGEST_HTML


def test_a_mask_is_drawn_cell_by_cell(seed: int) -> None:
    mask = at.padding([3, 2]) & at.window(0, 1)
    cells = re.findall("<title>(.*?)</title>", mask._repr_html_())
    expected = [
        f"query {i}, key {j}: {'may attend' if may else 'masked'}"
        for sequence in mask.materialize(3, 3).tolist()
        for i, row in enumerate(sequence)
        for j, may in enumerate(row)
    ]
    assert cells == expected
    said = Elements(mask._repr_html_()).text
    assert "sequence 1" in said
    assert "3 queries (down), 3 keys (across)" in said


def test_a_mask_typed_at_a_prompt_draws_itself() -> None:
    assert repr(at.causal()) == str(at.causal())
    assert repr(at.causal()).splitlines()[1:3] == ["■ · · · · ·", "■ ■ · · · ·"]


def test_masks_that_do_not_fit_one_another_are_told_without_a_traceback() -> None:
    mask = at.keep(torch.ones(3, 3, dtype=torch.bool)) & at.keep(torch.ones(2, 2, dtype=torch.bool))
    assert repr(mask).startswith("(keep([q 3, k 3]) & keep([q 2, k 2])): keep(tensor) must broadcast")
    assert mask._repr_html_() is None
    assert "2" in repr(at.padding([3]) & at.segments(torch.zeros(2, 3).long(), torch.zeros(2, 3).long()))
    assert repr(at.keep(torch.ones(0, 3, dtype=torch.bool))).endswith(
        "0 queries (down), 3 keys (across), ■ = may attend"
    )
    assert repr(at.padding(torch.zeros(0, dtype=torch.long))).startswith("padding([])")


def test_a_picture_of_a_mask_of_a_hundred_thousand_positions_makes_no_tensor_of_that_size() -> None:
    """10 GB, if it did."""
    mask = at.causal() & at.padding([100_000] * 5)
    assert "100000 queries" in repr(mask)
    assert f"the first {POSITIONS} of 100,000 queries, {POSITIONS} of 100,000 keys" in Elements(mask._repr_html_()).text


def test_a_grid_tells_the_weights_of_its_tokens_and_shades_them(seed: int) -> None:
    best = translation(["가", " ", "</s>"], ["a", "b"])
    assert best.attention is not None
    drawn = best._repr_html_()
    places = [f"{row}, {column}" for row in ("가", "␣", "</s>") for column in ("a", "b")]
    weights = best.attention.flatten().tolist()
    assert numbers(drawn) == {place: f"{weight:.4g}" for place, weight in zip(places, weights, strict=True)}
    elements = Elements(drawn)
    shades = [float(each["fill-opacity"] or 0) for tag, each in elements.found if tag == "rect"][1:]
    assert shades == pytest.approx([0.8 * weight**0.5 for weight in weights], abs=0.006)
    assert all(f"{weight:.2f}" in elements.text for weight in weights)
    assert "cut off" in elements.text


def test_weights_that_are_no_weights_are_told_as_they_are() -> None:
    odd = grid(torch.tensor([[float("nan"), float("inf"), -1.0]], requires_grad=True))
    assert list(numbers(odd).values()) == ["nan", "inf", "-1"]
    assert set(re.findall(r'fill-opacity="([^"]*)"', odd)) <= {"0", "0.8", "0.07"}


def test_what_is_left_out_is_said(seed: int) -> None:
    weights = torch.rand(4, 3, 30, 50)
    said = Elements(at.Attended(weights, weights)._repr_html_()).text
    assert "Attended(context [4, 3, 30, 50], weights [4, 3, 30, 50])" in said
    assert f"and {4 * 3 - GRIDS} more" in said
    assert said.count(f"the first {POSITIONS} of 30 queries, {POSITIONS} of 50 keys") == GRIDS
    assert "characters more" in Elements(line("a" * 10_000)).text
    seen = at.Seen([seen_attention()] * 40)
    assert "and 37 more; at.view(seen, tokens) shows all" in Elements(seen._repr_html_()).text
    assert repr(seen).splitlines()[-1] == "  and 20 more"


def test_captured_weights_are_shown_at_their_keys_under_the_numbers_of_their_heads(seed: int) -> None:
    dense = seen_attention()
    weights, indices = dense.weights.topk(3)
    sparse = seen_attention(weights=weights, indices=indices.int())
    drawn = sparse._repr_html_()
    said = Elements(drawn).text
    assert "sequence 0, head 1" in said
    assert "sequence 0, head 4" in said
    assert "and 2 more" in said
    shown = [float(title.rsplit(": ")[1]) for title in Elements(drawn).titles]
    expected = sparse.dense()[0].float().flatten().tolist()
    assert shown == pytest.approx(expected, rel=1e-3)


def test_what_was_saved_with_all_its_parts_is_drawn_like_what_was_just_seen(seed: int, tmp_path: Path) -> None:
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(3, 4, 8)
    with at.capture(model, parts=True) as seen:
        model(x, x, x)
    seen.save(tmp_path / "seen")
    again = at.Seen.load(tmp_path / "seen")
    assert again._repr_html_() == seen._repr_html_()
    expected = [f"{weight:.4g}" for weight in seen[0].weights[0, 0].flatten().tolist()]
    assert list(numbers(again._repr_html_()).values()) == expected


def test_nothing_to_draw_is_no_error() -> None:
    for weights in (torch.zeros(0, 2, 3, 3), torch.zeros(2, 0, 3), torch.zeros(2, 3, 0)):
        Elements(at.Attended(weights, None)._repr_html_())
        Elements(at.Attended(weights, weights)._repr_html_())
    assert repr(at.Seen()) == "Seen: 0 calls of 0 attentions"
    Elements(at.Seen()._repr_html_())
    Elements(grids(torch.zeros(0, 0)))
    Elements(frame("", line("")))


def test_the_gravest_finding_gives_its_colour(seed: int) -> None:
    leaks = nn.Linear(8, 8)
    diagnosis = at.diagnose(lambda x: leaks(x.mT).mT, torch.randn(2, 8, 3), causal=True)
    assert repr(diagnosis).startswith("Diagnosis(NOT healthy: 1 error")
    assert "; future-leak" in repr(diagnosis)
    assert repr(diagnosis.findings[0]).startswith("Finding(error future-leak: ")
    elements = Elements(diagnosis._repr_html_())
    assert diagnosis.findings[0].cure in elements.text
    assert all(str(name) in elements.text for name in diagnosis.findings[0].evidence)
    colours = [re.findall("#[0-9a-f]{6}", each.get("style") or "") for _, each in elements.found]
    assert colours[0] == ["#d04437"]


@pytest.mark.parametrize(
    ("name", "kind"), [("dates-none", "Run"), ("masked-lm", "MaskedRun"), ("causal-lm", "CausalRun")]
)
def test_a_run_says_what_it_is(name: str, kind: str) -> None:
    run = at.load(name)
    said = Elements(run._repr_html_()).text
    assert said.startswith(f"{kind} {run.path}: ")
    assert f"data.train {run.config.data.train}" in said
    assert repr(run)[1:-1] in said
