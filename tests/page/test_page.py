"""What goes into a page: the numbers in their small form, the tokens, what is left out, and nothing that could run."""

import base64
import hashlib
import json
import logging
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.errors import AttentioError
from attentio.page import numbers, page, plan, workshop
from attentio.page.document import LANGUAGES, Page
from attentio.page.page import view
from attentio.page.payload import pattern_of
from attentio.page.tokens import layer_number
from attentio.pictures.labels import pretty, visible

SCRIPTS = tuple(dict.fromkeys((*page.SCRIPTS, *workshop.SCRIPTS)))
STRINGS = tuple(dict.fromkeys((*page.STRINGS, *workshop.STRINGS)))
STYLES = tuple(dict.fromkeys((*page.STYLES, *workshop.STYLES)))
HOSTILE = "</script><script>alert(1)</script>"


def call(
    name: str, q: int, k: int, *, kind: Any = "self", batch: int = 1, heads: int = 3, **others: Any
) -> SeenAttention:
    weights = torch.rand(batch, heads, q, k).softmax(-1).half()
    return SeenAttention(
        **{"name": name, "call": 0, "kind": kind, "heads": tuple(range(heads)), "weights": weights, "keys": k, **others}
    )


def words(count: int, letter: str = "w") -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


class _Elements(HTMLParser):
    """The text and attributes of each element that has an id or is a script."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)


def read(page: Page) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The page's JSON and its numbers, by another way than the page's own."""
    scripts = [(attributes, text) for tag, attributes, text in _Elements(page.html).found if tag == "script"]
    head = next(json.loads(text) for attributes, text in scripts if attributes.get("id") == "attentio-payload")
    blobs = {
        str(attributes["id"]): zlib.decompress(base64.b64decode(text), wbits=-15)
        for attributes, text in scripts
        if attributes.get("type") == "text/plain"
    }
    return head, blobs


@pytest.mark.usefixtures("seed")
def test_small_pages_keep_the_weights_as_they_were_captured() -> None:
    weights = torch.rand(2, 3, 5, 7).softmax(-1)
    head, blobs = read(view(weights, words(7), target_tokens=words(5, "t")))
    entry = head["groups"][0]["entries"][1]
    codes = np.frombuffer(blobs[entry["weights"][0]], np.uint16).reshape(3, 5, 7)
    np.testing.assert_array_equal((codes - 3).view(np.float16), weights[1].half().numpy())


@pytest.mark.usefixtures("seed")
def test_bytes_are_in_the_order_of_the_weights_and_as_exact_as_promised() -> None:
    weights = torch.rand(10_007).pow(torch.rand(10_007) * 12).half().sort().values
    codes = numbers.codes_of(weights, "byte")
    assert (np.diff(codes.astype(int)) >= 0).all()
    again = ((codes.astype(float) - 3) / 252) ** 4
    exact = weights.double().numpy()
    for least, promised in ((0.9, 0.009), (0.01, 0.026), (0.0001, 0.084)):
        error = np.abs(again - exact)[exact >= least] / exact[exact >= least]
        assert error.max() < promised


@pytest.mark.usefixtures("seed")
def test_very_many_weights_are_coarser_which_is_said_and_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.randn(6, 97, 97).mul(1.2).softmax(-1)
    monkeypatch.setattr(plan, "HALF_NUMBERS", 0)
    fine = view(weights, words(97))
    monkeypatch.setattr(plan, "BYTE_NUMBERS", 0)
    page = view(weights, words(97))
    head, blobs = read(page)
    assert head["notes"][0]["key"] == "notes.coarse"
    codes = np.frombuffer(blobs[head["groups"][0]["entries"][0]["weights"][0][5]], np.uint8).astype(float)
    exact = weights[5].half().double().numpy().ravel()
    errors = np.abs(((codes - 3) / 252) ** 4 - exact) / exact
    assert errors[exact >= 0.01].max() < 0.16
    assert (codes[exact < 1 / (8.01 * 97)] == 3).all()
    assert len(fine.html) - len(page.html) > 0.25 * weights.numel()


def test_what_is_no_number_keeps_a_code_of_its_own() -> None:
    weights = torch.tensor([[float("nan"), 0.0, -0.0, 1.0, float("inf")]]).half()
    assert numbers.codes_of(weights, "byte").tolist() == [[2, 3, 3, 255, 255]]
    half = numbers.codes_of(weights, "half")[0]
    assert half[:3].tolist() == [2, 3, 3]
    assert (np.diff(half.astype(int)) >= 0).all()


def test_scores_in_place_of_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 0, got -2: are they scores"):
        view(torch.tensor([[1.0, -2.0]]), ["a", "b"], target_tokens=["c"])


@pytest.mark.usefixtures("seed")
def test_the_largest_weights_of_each_row_are_kept_at_their_keys() -> None:
    weights = torch.rand(11, 101).softmax(-1).half()
    those = numbers.largest(weights, 7, "half")
    dense = np.zeros((11, 101), np.float16)
    np.put_along_axis(dense, those.indices.astype(int), (those.codes - 3).view(np.float16), axis=1)
    smallest = weights.topk(7).values.min(-1, keepdim=True).values
    np.testing.assert_array_equal(dense > 0, (weights >= smallest).numpy() & (dense > 0))
    assert ((dense > 0).sum(1) == 7).all()
    np.testing.assert_array_equal(dense[dense > 0], weights.numpy()[dense > 0])
    assert those.share == pytest.approx(float(dense.astype(float).sum() / weights.double().sum()), rel=1e-3)


@pytest.mark.usefixtures("seed")
@pytest.mark.parametrize("shape", [(3, 5), (67, 64), (131, 997)])
def test_small_pictures_show_the_largest_of_the_cells_that_fall_together(shape: tuple[int, int]) -> None:
    codes = (
        np.random.default_rng(torch.randint(2**31, ()).item()).integers(numbers.ZERO + 1, 256, shape).astype(np.uint8)
    )
    small = numbers.thumb(codes)
    rows, columns = (min(size, numbers.THUMB) for size in shape)
    assert small.shape == (rows, columns)
    row_of, column_of = (
        [max(n for n in range(cells) if n * size // cells <= at) for at in range(size)]
        for size, cells in zip(shape, (rows, columns), strict=True)
    )
    expected = np.zeros((rows, columns), np.uint8)
    np.maximum.at(expected, (np.array(row_of)[:, None], np.array(column_of)), codes)
    np.testing.assert_array_equal(small, expected)
    order = codes.argsort(axis=1).astype(np.uint16)
    everything = numbers.Kept(np.take_along_axis(codes, order.astype(int), 1), order, 1.0)
    np.testing.assert_array_equal(numbers.thumb_of_kept(everything, shape[1]), expected)
    some = numbers.Kept(everything.codes[:, -1:], everything.indices[:, -1:], 1.0)
    assert (numbers.thumb_of_kept(some, shape[1]).max(axis=1) == expected.max(axis=1)).all()


@pytest.mark.parametrize(
    ("name", "pattern", "layer"),
    [
        ("decoder.layers.3.cross_attention", "decoder.layers.*.cross_attention", "4"),
        ("h.0.blocks.11.attn2", "h.*.blocks.*.attn2", "1.12"),
        ("", "", "1"),
    ],
)
def test_layers_that_differ_by_their_number_are_one_group_and_counted_from_1(
    name: str, pattern: str, layer: str
) -> None:
    assert (pattern_of(name), layer_number(name)) == (pattern, layer)


@pytest.mark.parametrize(
    ("tokens", "labels"),
    [
        ("▁low er ▁than ▁ 1 </s>", "low ·er than ␣ 1 </s>"),
        ("The Ġking s Ġ", "The king ·s ␣"),
        ("[CLS] low ##er [SEP]", "[CLS] low ·er [SEP]"),
        ("low@@ er than", "low ·er than"),
        ("l o w", "l o w"),
    ],
)
def test_tokens_are_shown_without_the_marks_of_their_tokenizer(tokens: str, labels: str) -> None:
    assert pretty(tokens.split()) == labels.split()
    head, _ = read(view(torch.full((len(labels.split()),) * 2, 0.1), tokens.split()))
    source = head["tokens"]["source"][0]
    assert source["labels"] == labels.split()
    assert source.get("raw", source["labels"]) == tokens.split()


def test_the_page_opens_on_the_head_that_is_neither_even_nor_a_sink() -> None:
    previous, even, first = torch.eye(5).roll(-1, 1), torch.full((5, 5), 0.2), torch.zeros(5, 5)
    previous[0], first[:, 0] = torch.tensor([1.0, 0, 0, 0, 0]), 1
    layers = torch.stack([torch.stack([even, first]), torch.stack([first, previous])])
    head, _ = read(view(layers, words(5)))
    assert head["opening"] == {"group": 0, "layer": 1, "head": 1}
    does = head["groups"][0]["entries"][1]["does"][0][1]
    assert (does["kind"], does["share"], does["cell"]) == ("previous", 1, [1, 0])


def test_a_few_rows_of_a_text_are_named_after_the_head_on_all_of_it() -> None:
    weights = torch.eye(6).roll(-1, 1).expand(1, 1, 6, 6).half()
    rows = call("a", 1, 6, heads=1, weights=weights[:, :, 4:5], q_start=4)
    head, _ = read(view(Seen([rows, call("a", 6, 6, heads=1, weights=weights)]), words(6), target_tokens=["t"]))
    does = head["groups"][0]["entries"][0]["does"][0][0]
    assert (does["kind"], does["cell"]) == ("previous", [0, 3])


def test_each_attention_finds_its_tokens() -> None:
    seen = Seen(
        [
            call("encoder.layers.0.attention", 7, 7),
            call("decoder.layers.0.attention", 5, 5),
            call("decoder.layers.0.cross_attention", 5, 7, kind="cross"),
        ]
    )
    sides = [
        (group["queryTokens"], group["keyTokens"])
        for group in read(view(seen, words(7), target_tokens=words(5, "t")))[0]["groups"]
    ]
    assert sides == [("source", "source"), ("target", "target"), ("target", "source")]
    read_before = ["<s>", *words(4, "t")]
    head, _ = read(view(seen, words(7), target_tokens=words(5, "t"), decoder_tokens=read_before))
    assert (head["groups"][1]["queryTokens"], head["groups"][1]["keyTokens"]) == ("target", "decoder")
    assert head["tokens"]["decoder"][0]["labels"] == read_before


def test_equally_long_source_and_target_are_told_apart_by_the_name() -> None:
    seen = Seen([call("encoder.0.attention", 5, 5), call("decoder.0.attention", 5, 5)])
    groups = read(view(seen, words(5), target_tokens=words(5, "t")))[0]["groups"]
    assert [group["keyTokens"] for group in groups] == ["source", "target"]


def test_rows_of_a_generation_start_at_their_position() -> None:
    seen = Seen([call("h.0.attn", 3, 11, q_start=8)])
    group = read(view(seen, words(11)))[0]["groups"][0]
    assert (group["queryFrom"], group["queryStart"], group["queryTokens"]) == (8, 8, "source")
    produced = read(view(seen, words(11), target_tokens=words(3, "t")))[0]["groups"][0]
    assert (produced["queryFrom"], produced["queryStart"], produced["queryTokens"]) == (0, 8, "target")


def test_tokens_that_do_not_belong_to_the_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each key of 'layers.0', which has 7, got 6 source tokens"):
        view(torch.full((7, 7), 1 / 7), words(6))
    with pytest.raises(
        ValueError, match=r"each query of 'layers.0', which has 5, got 7 source tokens, 4 target tokens"
    ):
        view(torch.full((5, 7), 1 / 7), words(7), target_tokens=words(4))
    with pytest.raises(ValueError, match="list of tokens, got one text: 'abcdefg'"):
        view(torch.full((7, 7), 1 / 7), "abcdefg")
    with pytest.raises(ValueError, match="at least one attention, got none: was the model called"):
        view(Seen([]), words(7))
    with pytest.raises(ValueError, match="tokens must be given"):
        view(torch.full((7, 7), 1 / 7))
    with pytest.raises(ValueError, match=r"got shape \(2, 1, 1, 7, 7\)"):
        view(torch.full((2, 1, 1, 7, 7), 1 / 7), words(7))
    with pytest.raises(ValueError, match="for each of 2 sequences of the batch, got 1"):
        view(Seen([call("a", 7, 7, batch=2)]), words(7))


def test_shorter_sequences_of_a_batch_end_in_padding() -> None:
    head, _ = read(view(Seen([call("a", 5, 5, batch=2)]), [words(5), words(3)]))
    assert head["items"] == 2
    assert head["tokens"]["source"][1]["labels"] == [*words(3), None, None]


def test_heading_says_the_sentence_without_marks_and_special_tokens() -> None:
    tokens = ["<s>", "▁lo", "w", "er", "▁", "▁than", "[SEP]", "</s>"]
    head, _ = read(view(torch.full((8, 8), 1 / 8), tokens))
    assert head["tokens"]["source"][0]["sentence"] == "lower ▁ than"
    assert head["tokens"]["source"][0]["words"][1] == [1, 4, "lower"]


def test_tokens_saved_with_what_was_seen_are_used() -> None:
    seen = Seen([call("a", 5, 7, kind="cross")], tokens=[words(7)], target_tokens=[words(5, "t")])
    head, _ = read(view(seen))
    assert head["tokens"]["target"][0]["labels"] == words(5, "t")


def test_target_tokens_that_are_given_go_before_those_that_were_saved() -> None:
    seen = Seen([call("a", 5, 7, kind="cross")], tokens=[words(7)], target_tokens=[words(5, "t")])
    head, _ = read(view(seen, target_tokens=words(5, "given")))
    assert head["tokens"]["target"][0]["labels"] == words(5, "given")


def test_alternatives_must_be_those_of_the_target_tokens() -> None:
    weights, alternatives = torch.full((2, 3), 1 / 3), [[("a", 0.7), ("\n", 0.2)], [("b", 1.0)]]
    page = view(weights, words(3), target_tokens=["a", "b"], alternatives=alternatives)
    assert read(page)[0]["alternatives"] == [[[["a", 0.7, True], ["↵", 0.2, False]], [["b", 1.0, True]]]]
    with pytest.raises(ValueError, match=r"one list for each target token, \[2\].* got \[1\]"):
        view(weights, words(3), target_tokens=["a", "b"], alternatives=alternatives[:1])


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("", "∅"),
        (" ", "␣"),
        ("\u200b", "U+200B"),
        ("\u3000", "U+3000"),
        ("\u202e", "U+202E"),
        ("ᄀ", "ㄱ"),
        ("שלום", "שלום"),
    ],
)
def test_no_token_is_invisible(token: str, shown: str) -> None:
    assert visible(token) == shown


def test_masked_weights_are_told_from_zeros_where_the_mask_is_known() -> None:
    allowed = torch.ones(3, 3, dtype=torch.bool).tril()
    weights = torch.eye(3).expand(1, 2, 3, 3).half()
    seen = Seen([call("a", 3, 3, heads=2, weights=weights, allowed=allowed)])
    head, blobs = read(view(seen, words(3)))
    codes = np.frombuffer(blobs[head["groups"][0]["entries"][0]["weights"][0]], np.uint16).reshape(2, 3, 3)[1]
    one = np.float16(1).view(np.uint16) + 3
    assert codes.tolist() == [[one, 0, 0], [3, one, 0], [3, 3, one]]


@pytest.mark.usefixtures("seed")
def test_parts_of_the_formula_come_along() -> None:
    parts = {name: torch.randn(1, 3, size, 2).half() for name, size in (("query", 5), ("key", 7), ("value", 7))}
    scores = torch.randn(1, 3, 5, 7).half()
    seen = Seen([call("a", 5, 7, kind="cross", scores=scores, scale=0.5, **parts)])
    head, blobs = read(view(seen, words(7), target_tokens=words(5)))
    found = head["groups"][0]["entries"][0]["parts"]
    assert (found["scale"], found["dimensions"], found["allowed"]) == (0.5, {"query": 2, "value": 2}, None)
    np.testing.assert_array_equal(np.frombuffer(blobs[found["scores"][0][1]], np.float16).reshape(5, 7), scores[0, 1])
    np.testing.assert_array_equal(
        np.frombuffer(blobs[found["key"][0][2]], np.float16).reshape(7, 2), parts["key"][0, 2]
    )


@pytest.mark.usefixtures("seed")
def test_too_many_weights_are_cut_to_the_largest_and_the_reader_is_told(caplog: pytest.LogCaptureFixture) -> None:
    weights = torch.rand(2, 211, 211).mul(9).softmax(-1)
    with caplog.at_level(logging.WARNING):
        page = view(weights, words(211), megabytes=0.03)
    head, blobs = read(page)
    entry = head["groups"][0]["entries"][0]
    kept = 30_000 // (3 * 2 * 211)
    assert (entry["kept"], entry["coding"]) == (kept, "byte")
    share = float(weights.topk(kept).values.sum() / weights.sum())
    note = head["notes"][0]
    assert note["key"] == "notes.kept"
    assert float(note["values"]["share"].rstrip("%")) == pytest.approx(100 * share, abs=0.3)
    assert f"keeps the {kept} largest weights of each row of up to 211" in caplog.text
    assert len(blobs[entry["weights"][0][0]]) == 211 * kept
    with pytest.raises(AttentioError, match=r"too many for a page of 0\.001 megabytes: capture fewer with layers= and"):
        view(weights, words(211), megabytes=0.001)


@pytest.mark.usefixtures("seed")
def test_captured_top_k_goes_in_as_it_is() -> None:
    values, indices = torch.rand(1, 2, 5, 11).softmax(-1).topk(3)
    indices[0, 0, 2, 1:] = -1
    seen = Seen([call("a", 5, 11, heads=2, weights=values.half(), indices=indices.int(), q_start=6)])
    head, blobs = read(view(seen, words(11)))
    entry = head["groups"][0]["entries"][0]
    codes = np.frombuffer(blobs[entry["weights"][0][0]], np.uint16).reshape(5, 3)
    keys = np.frombuffer(blobs[entry["indices"][0][0]], np.uint16).reshape(5, 3)
    for row in range(5):
        expected = {
            int(k): float(v) for k, v in zip(indices[0, 0, row], values[0, 0, row].half(), strict=True) if k >= 0
        }
        found = {
            int(k): float((c - np.uint16(3)).view(np.float16))
            for k, c in zip(keys[row], codes[row], strict=True)
            if c > 2
        }
        assert found == expected


def test_only_the_pages_own_script_and_style_may_run() -> None:
    page = view(torch.full((2, 2), 0.5), [HOSTILE, "<img src=x onerror=alert(1)>"], title=HOSTILE)
    elements = _Elements(page.html).found
    running = [text for tag, attributes, text in elements if tag == "script" and "type" not in attributes]
    style = [text for tag, _, text in elements if tag == "style"]
    assert (len(running), len(style)) == (1, 1)
    policy = next(str(a["content"]) for _, a, _ in elements if a.get("http-equiv") == "Content-Security-Policy")
    for text, name in ((running[0], "script-src"), (style[0], "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not [a for _, a, _ in elements if "style" in a or any(name.startswith("on") for name in a)]
    assert "<img" not in page.html
    assert page.html.count("</script>") == len(re.findall(r"<script[ >]", page.html))


def test_page_is_saved_as_utf8_and_framed_in_notebooks(tmp_path: Path) -> None:
    page = view(torch.full((1, 1), 1.0), ["한"], title="제목", language="ko")
    path = page.save(tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == page.html
    assert '<html lang="ko">' in page.html
    frame = _Elements(page._repr_html_()).found[0]
    assert frame[0] == "iframe"
    assert frame[1]["srcdoc"] == page.html
    assert "allow-same-origin" not in str(frame[1]["sandbox"])


def strings(language: str) -> dict[str, str]:
    return {key: text for name in STRINGS for key, text in json.loads(_asset(f"{name}.{language}.json")).items()}


def _asset(name: str) -> str:
    return files("attentio.page").joinpath("assets", name).read_text(encoding="utf-8")


def test_every_language_has_the_same_strings_with_the_same_gaps() -> None:
    english = strings("en")
    for language in LANGUAGES:
        others = strings(language)
        assert others.keys() == english.keys()
        for key, text in others.items():
            assert text.strip(), key
            assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", english[key])), key
    korean = strings("ko")
    same = {key for key in english if english[key] == korean[key]}
    assert len(same) < len(english) / 4


def test_every_string_the_scripts_name_is_there_and_every_one_is_named() -> None:
    sources = "".join(_asset(name) for name in (*SCRIPTS, "page.html"))
    sources += "".join(path.read_text() for path in Path(numbers.__file__).parent.glob("*.py"))
    known = strings("en")
    named = set(re.findall(r"""["'`]([a-z]+\.[a-zA-Z]+)["'`]""", sources))
    families = {key.split(".")[0] for key in known if "." in key}
    computed = set(re.findall(r"`([a-z]+\.)\$\{", sources)) | {"kind.", "scale."}
    missing = {
        key for key in named if key.split(".")[0] in families and not key.endswith((".js", ".css"))
    } - known.keys()
    assert not missing
    unused = {key for key in known if f'"{key}"' not in sources and not key.startswith(tuple(computed))}
    assert not unused


def test_scripts_never_make_markup_of_text() -> None:
    for name in (*SCRIPTS, "notebook.js"):
        source = _asset(name)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source.split("*/", 1)[1]
        )
        assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|https?://(?!www\.w3\.org/)", source)
    for name in STYLES:
        assert "url(" not in _asset(name)


def test_a_language_that_there_is_not_is_refused_and_not_written() -> None:
    """In a process of its own, where no annotation is checked."""
    code = """
import torch, attentio as at
for language in ['en"><script>alert(1)</script>', "KO", "", ["en"]]:
    try:
        at.view(torch.ones(2, 2) / 2, ["a", "b"], language=language)
    except ValueError as error:
        assert str(error) == f"language must be one of 'en', 'ko', or None, got {language!r}", error
    else:
        raise SystemExit(f"{language!r} was taken")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("seed")
def test_the_keys_of_all_heads_have_one_type_that_holds_the_last_key() -> None:
    near, far = torch.zeros(1, 70_000), torch.zeros(1, 70_000)
    near[0, :10], far[0, -10:] = 0.1, 0.1
    types = {numbers.largest(weights, 7, "half").indices.dtype for weights in (near, far)}
    assert types == {np.dtype(np.uint32)}
    assert numbers.largest(near[:, :65_536], 7, "half").indices.dtype == np.uint16


def test_calls_with_batches_of_different_sizes_are_shown_together() -> None:
    calls = [call("a", 4, 4, batch=1), call("a", 4, 4, batch=3)]
    head, _ = read(view(Seen(calls), [words(4)] * 3))
    assert [len(each["entries"][0]["does"]) for each in head["groups"]] == [1, 3]
