"""at.describe: the rules against a loop written from their definitions, and the names against heads made for them."""

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor

import attentio as at
from attentio.capturing.record import SeenAttention
from attentio.capturing.seen import Seen
from attentio.page.describe import EVEN, SHARE
from attentio.page.page import view

TEXT = ["[CLS]", "a", "b", "c", "a", "b", "d", ".", "a", "b", "[SEP]"]


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape).mul(2).softmax(-1).half()


def looking(*keys: int, of: int = len(TEXT)) -> Tensor:
    """A head whose query i looks at keys[i] alone."""
    return torch.eye(of)[list(keys)].half()


def by_definition(weights: Tensor, tokens: list[str]) -> dict[str, float]:
    """The shares of a head of self-attention that sees every key, in float64, cell by cell."""
    count = len(tokens)
    rules = {
        "previous": lambda i, j: j == i - 1,
        "next": lambda i, j: j == i + 1,
        "self": lambda i, j: j == i,
        "first": lambda i, j: j == 0,
        "separator": lambda i, j: j > 0 and tokens[j] in ("[CLS]", "[SEP]", "."),
        "same token": lambda i, j: j != i and tokens[j] == tokens[i],
        "induction": lambda i, j: 0 < j < i and tokens[j - 1] == tokens[i],
        **{f"at {far}": lambda i, j, far=far: j - i == far for far in range(-count, count) if abs(far) > 1},
    }
    of: dict[str, float] = {}
    for name, rule in rules.items():
        rows = [[weights[i, j].double().item() for j in range(count) if rule(i, j)] for i in range(count)]
        rows = [row for row in rows if row]
        if len(rows) >= 3:
            of[name] = sum(map(sum, rows)) / len(rows)
    far = [of.pop(name) for name in list(of) if name.startswith("at ")]
    return of | {"positional": max(far)}


def test_shares_are_those_of_the_definitions(seed: int) -> None:
    weights = drawn(3, 11, 11)
    table = at.describe(weights, TEXT)
    for head, row in enumerate(table):
        assert row.does.shares == pytest.approx(by_definition(weights[head], TEXT), abs=1e-5)
        rows = weights[head].double()
        entropy = -(rows * rows.log()).nan_to_num(0).sum(-1).mean().item() / math.log(11)
        assert row.does.evenness == pytest.approx(entropy, abs=1e-4)
        assert row.does.sink == pytest.approx(rows.mean(0).max().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("previous", looking(0, *range(10))),
        ("next", looking(*range(1, 11), 10)),
        ("self", looking(*range(11))),
        ("first", looking(*[0] * 11)),
        ("separator", looking(*[7, 10] * 5, 7)),
        ("same token", looking(0, 4, 5, 3, 8, 9, 6, 7, 1, 2, 10)),
        ("induction", looking(0, 0, 0, 0, 2, 3, 0, 0, 5, 6, 0)),
        ("positional", looking(0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7)),
        ("even", torch.full((11, 11), 1 / 11).half()),
    ],
)
def test_a_head_is_named_after_what_it_looks_at(kind: str, head: Tensor) -> None:
    (row,) = at.describe(head, TEXT)
    assert row.does.kind == kind
    assert row.does.share >= (EVEN if kind == "even" else SHARE)


def test_a_head_along_the_source_is_aligned_and_one_that_stays_is_not(seed: int) -> None:
    on = torch.eye(7)[[0, 0, 1, 3, 6]]
    stays = torch.eye(7)[[3] * 5]
    noise = torch.full((5, 7), 1 / 7)
    table = at.describe(torch.stack([on, stays, noise]), list("abcdefg"), target_tokens=list("vwxyz"))
    assert [row.does.kind for row in table] == ["aligned", "mixed", "even"]
    assert table[0].does.share == pytest.approx(1 - 2 / 5)  # all on the path, less what key 0 has of it
    assert table.telling().head == 1


def test_queries_without_a_choice_do_not_count() -> None:
    weights = torch.eye(5).roll(-1, 1)
    weights[0] = torch.tensor([1.0, 0, 0, 0, 0])
    (row,) = at.describe(weights.tril())
    assert row.does.shares["previous"] == 1  # the first token, which sees itself alone, left out
    allowed = torch.zeros(5, 5, dtype=torch.bool)
    allowed[:, :2] = True
    half = torch.tensor([0.5, 0.5, 0, 0, 0]).expand(1, 1, 5, 5).half()
    seen = Seen([SeenAttention(name="a", call=0, kind="self", heads=(0,), weights=half, keys=5, allowed=allowed)])
    assert at.describe(seen)[0].does.evenness == pytest.approx(1)  # of two keys, not of five


def test_padding_counts_neither_as_query_nor_as_key() -> None:
    weights = torch.zeros(2, 1, 4, 4)
    weights[..., :2] = 0.5
    weights[0] = 0.25
    table = at.describe((weights,), [list("abcd"), list("ab")])
    assert [(row.sequence, row.does.kind, row.does.evenness) for row in table] == [(0, "even", 1), (1, "even", 1)]


def test_kept_weights_stand_at_their_keys() -> None:
    values = torch.ones(1, 1, 6, 1).half()
    indices = torch.tensor([0, 0, 1, 2, 3, 4]).int().reshape(1, 1, 6, 1)
    seen = Seen(
        [SeenAttention(name="a.4.b", call=0, kind="self", heads=(3,), weights=values, indices=indices, keys=6)],
        tokens=[list("abcdef")],
    )
    (row,) = at.describe(seen)
    assert (row.layer, row.head, row.does.kind) == ("5", 4, "previous")


def test_strongest_cell_is_between_ordinary_tokens_where_there_are_such() -> None:
    head = torch.full((11, 11), 0.01)
    head[10, 0], head[3, 6] = 0.9, 0.8
    (row,) = at.describe(head, TEXT)
    assert row.does.cell == (3, 6)
    assert at.describe(head)[0].does.cell == (10, 0)


def test_weights_of_torch_numpy_and_of_each_layer_are_the_same_to_view_and_describe(seed: int) -> None:
    weights = drawn(2, 3, 5, 5)
    attentions = tuple(layer[None] for layer in weights)
    pages = {view(each, list("abcde")).html for each in (weights, weights.numpy(), attentions)}
    assert len(pages) == 1
    tables = [
        at.describe(each) for each in (weights, weights.numpy(), attentions, [each.numpy() for each in attentions])
    ]
    assert len({str(table) for table in tables}) == 1
    batch = tuple(torch.stack([layer, layer]) for layer in weights)
    assert len(at.describe(batch)) == 2 * 2 * 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((None,), r"weights of layer 0 must be \[batch, heads, q, k\], got None"),
        ([np.zeros((3, 4))], r"weights of layer 0 must be \[batch, heads, q, k\], got \(3, 4\)"),
        ([], "weights must hold at least one layer"),
        (np.zeros((1, 1, 1, 1, 1)), r"weights must be \[q, k\]"),
    ],
)
def test_what_is_no_attention_is_refused_in_one_line(given: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        view(given, ["a"])


def test_a_broken_head_is_described_without_an_error() -> None:
    table = at.describe(torch.full((1, 3, 3), float("nan")), list("abc"))
    assert table[0].does.kind == "mixed"
    assert at.describe(torch.ones(1, 1), ["a"])[0].does.kind == "mixed"
    assert at.describe(torch.full((2, 3), 0.3), list("abc"), target_tokens=list("xy"))[0].does.kind == "even"


def test_table_lists_and_finds_heads(seed: int) -> None:
    random.seed(seed)
    heads = [looking(0, *range(10)), looking(*range(11)), torch.full((11, 11), 1 / 11).half()]
    random.shuffle(heads)
    table = at.describe(torch.stack(heads * 20), TEXT)
    assert len(table.of("self")) == 20
    assert str(table).splitlines()[-1] == "and 30 more"
    assert table._repr_html_().count("<tr>") == 31
    assert table.records()[0]["kind"] == table[0].does.kind


@pytest.mark.parametrize("use", [at.describe, lambda weights: view(weights, ["a", "b", "c"])], ids=["describe", "view"])
@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (torch.eye(3) - 0.25, r"must be at least 0, got -0\.25: are they scores"),
        (torch.rand(2, 3, 3) + 0.4, "must sum to 1 at most, got"),
        (torch.ones(3, 0), r"must have a query and a key at least, got shape \[1, 1, 3, 0\]"),
        ([torch.full((1, 2, 3, 3), 0.5)], "must sum to 1 at most, got 1.5"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(use, weights, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        use(weights)


def test_weights_that_a_gate_or_a_mask_made_less_are_taken() -> None:
    gated, masked = torch.eye(3) * 0.3, torch.eye(3)
    masked[1] = 0.0
    nothing = torch.full((3, 3), torch.nan)
    for weights in (gated, masked, nothing):
        assert len(at.describe(weights)) == 1
        assert view(weights, ["a", "b", "c"])
    sigmoid = SeenAttention(name="a", call=0, kind="self", heads=(0,), weights=torch.ones(1, 1, 3, 3).half(), keys=3)
    assert len(at.describe(Seen([sigmoid]))) == 1


def test_a_table_of_several_sequences_tells_which(seed: int) -> None:
    def told(batch: int) -> list[list[str]]:
        model, x = torch.nn.MultiheadAttention(4, 2, batch_first=True), torch.randn(batch, 11, 4)
        with at.capture(model) as seen:
            model(x, x, x)
        return [line.split() for line in str(at.describe(seen, [TEXT] * batch)).splitlines()]

    assert told(1)[0][:3] == ["attention", "layer", "head"]
    headings, *lines = told(2)
    assert headings[:4] == ["attention", "sequence", "layer", "head"]
    assert sorted(line[-7] for line in lines) == ["0", "0", "1", "1"]


@pytest.mark.parametrize("tokens", [[1, 2, 3], [["a", 2, "c"]], [None]])
def test_tokens_that_are_no_strings_are_refused(as_installed: None, tokens: list) -> None:
    with pytest.raises(ValueError, match="tokens must be strings, or a list of strings for each sequence, got"):
        at.describe(drawn(1, 3, 3), tokens)


def test_rows_that_are_no_numbers_count_neither_for_evenness_nor_for_a_sink() -> None:
    weights = torch.full((1, 1, 2, 7, 7), 1 / 7)
    weights[..., 3:, :] = torch.nan
    for row in at.describe(weights[0], list("abcdefg")):
        assert (row.does.kind, round(row.does.evenness, 3), round(row.does.sink, 3)) == ("even", 1.0, 0.143)
    weights[:] = torch.nan
    assert [row.does.kind for row in at.describe(weights[0], list("abcdefg"))] == ["mixed", "mixed"]
