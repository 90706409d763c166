"""attentio align: pairs in, links out, and how wrong they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from untrained_runs import untrained

from attentio.errors import AttentioError
from attentio.runs.aligned import Aligned
from attentio.runs.translator import Run

PAIRS = b"abcd\tdcba\nbade\tedab\nhag\tgah\n"


def test_one_line_of_links_comes_out_for_each_pair_in_order(toy, attentio: Callable) -> None:
    said = attentio("align", toy.run, given=PAIRS)
    assert said.code == 0
    lines = said.out.splitlines()
    assert len(lines) == 3
    # A model that reverses words looks at the letters it writes down, most of the time.
    links = [tuple(map(int, link.split("-"))) for link in lines[0].split()]
    assert [target for _, target in links] == sorted(target for _, target in links)
    assert all(0 <= source < 4 and 0 <= target < 4 for source, target in links)
    assert lines[2] == attentio("align", toy.run, given=PAIRS.splitlines(keepends=True)[2]).out.strip()


def test_forced_attention_is_that_of_the_translation_that_says_the_same(toy) -> None:
    run = Run.load(toy.run)
    texts = ["abcd", "bade", "hag", "ga"]
    outputs = run.translate(texts)
    for output, one in zip(outputs, run.align([(t, o.text) for t, o in zip(texts, outputs, strict=True)]), strict=True):
        assert one.tokens == output.tokens
        assert one.source_tokens == output.source_tokens
        assert torch.allclose(one.attention, output.attention, atol=1e-5)


def test_links_are_what_the_attention_says(toy, attentio: Callable) -> None:
    (one,) = Run.load(toy.run).align([("bade", "edab")])
    matrix = one.attention[:-1]
    assert torch.equal(one.matrix(), matrix)
    assert torch.equal(one.matrix(shift=True), one.attention[1:])
    expected = [f"{s}-{t}" for t, s in enumerate(matrix.argmax(1).tolist()) if s < 4]
    assert attentio("align", toy.run, given=b"bade\tedab").out.split() == expected
    expected = [f"{s}-{t}" for t, s in enumerate(one.attention[1:].argmax(1).tolist()) if s < 4]
    assert attentio("align", toy.run, "--shift", given=b"bade\tedab").out.split() == expected
    soft = attentio("align", toy.run, "--soft", "--threshold", "0", given=b"bade\tedab").out.split()
    assert len(soft) == int((matrix[:, :4] > 0).sum())
    for link in soft:
        place, weight = link.split(":")
        source, target = map(int, place.split("-"))
        assert float(weight) == pytest.approx(float(matrix[target, source]), rel=1e-3)


def test_tokens_are_joined_into_words_and_the_end_of_the_source_stays(seed: int) -> None:
    weights = torch.rand(6, 7).softmax(1)
    tokens = [*"dc ba", "</s>"]
    one = Aligned([*"abc d", "?", "</s>"], tokens, [range(3), range(4, 6)], [range(2), range(3, 5)], weights)
    matrix = one.matrix(words=True)
    assert matrix.shape == (2, 3), "two words on either side, and the end of the source"
    assert matrix[1, 0] == pytest.approx(float(weights[3:5, :3].sum(1).mean()))
    assert matrix[1, 2] == pytest.approx(float(weights[3:5, 6].mean()))
    shifted = one.matrix(words=True, shift=True)
    assert shifted[1, 0] == pytest.approx(float(weights[4:6, :3].sum(1).mean()))


def test_words_are_those_between_spaces(seed: int) -> None:
    (one,) = untrained().align([("ab cd ef", "ba  dc")])
    assert one.source_words == [range(2), range(3, 5), range(6, 8)]
    assert one.words == [range(2), range(4, 6)]


@pytest.mark.parametrize(
    "model",
    [
        {"attention": "bahdanau"},
        {"attention": "delayed"},
        {"attention": "luong", "local": "p", "window": 2},
        {"attention": "luong", "score": "location", "input_feeding": False},
        {"decoder": "transformer", "decoder_layers": 2},
        {"attention": "hard-monotonic"},
        {"attention": "transducer"},
    ],
    ids=str,
)
def test_pairs_are_aligned_the_same_alone_and_in_a_batch(seed: int, model: dict[str, object]) -> None:
    run = untrained(**model)
    pairs = [("abc", "hgfedc"), ("a", "b"), ("cd ef", "gh")]
    for together, pair in zip(run.align(pairs), pairs, strict=True):
        (alone,) = run.align([pair])
        assert alone.tokens == together.tokens == [*pair[1], "</s>"]
        torch.testing.assert_close(alone.attention, together.attention)
        assert together.attention.shape == (len(pair[1]) + 1, len(pair[0]) + 1)


def test_a_layer_of_a_transformer_can_be_chosen(seed: int) -> None:
    run = untrained(decoder="transformer", decoder_layers=2)
    first, last, default = (run.align([("abc", "hgfe")], layer=layer)[0].attention for layer in (1, 2, None))
    torch.testing.assert_close(last, default)
    assert not torch.allclose(first, last, atol=1e-3)
    with pytest.raises(AttentioError, match="layer 3: the decoder has 2 of them"):
        run.align([("abc", "hgfe")], layer=3)


def test_no_pairs_are_aligned_with_nothing() -> None:
    assert untrained().align([]) == []


def test_the_error_rate_against_gold_is_told_beside_the_links(toy, attentio: Callable, tmp_path: Path) -> None:
    found = attentio("align", toy.run, given=PAIRS).out
    gold = tmp_path / "gold"
    gold.write_text(found)
    said = attentio("align", toy.run, "--gold", gold, given=PAIRS)
    assert said.out == found
    assert "alignment error rate 0.00%, precision 100.00%, recall 100.00%; 3 pairs" in said.err
    one_more = [" ".join(f"{int(s) + 1}-{int(t) + 1}" for s, t in (link.split("-") for link in line.split()))
                for line in found.splitlines()]  # fmt: skip
    gold.write_text("\n".join(one_more))
    said = attentio("align", toy.run, "--gold", gold, "--one-based", given=PAIRS)
    assert "alignment error rate 0.00%" in said.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0-0\n1-1\n", "gold has 2 lines, but more pairs were given"),
        ("0-0\n1-1\n0-0\n0-0\n", "gold has 4 lines, but 3 pairs were given"),
        ("0-0\n4-3\n0-0\n", "gold:2: source 4 and target 3, counted from 0, in a pair of 4 and 4"),
    ],
    ids=range(3),
)
def test_gold_that_does_not_fit_the_pairs_is_told(
    toy, attentio: Callable, tmp_path: Path, text: str, told: str
) -> None:
    gold = tmp_path / "gold"
    gold.write_text(text)
    said = attentio("align", toy.run, "--gold", gold, given=PAIRS)
    assert said.code == 2
    assert told in said.err


@pytest.mark.parametrize(
    ("words", "given", "told"),
    [
        ([], b"ab\tba\nab ba\n", "<stdin>:2: 1 column(s) where 2 are expected"),
        ([], b"ab\t \n", "<stdin>:1: target: empty"),
        (["--one-based"], b"", "--one-based says how --gold counts"),
        (["--soft", "--mutual"], b"", "--mutual chooses among the best links"),
        (["--layer", "1"], b"ab\tba", "a layer can be chosen in Transformer decoders only"),
    ],
    ids=range(5),
)
def test_what_cannot_be_aligned_is_told(toy, attentio: Callable, words: list[str], given: bytes, told: str) -> None:
    said = attentio("align", toy.run, *words, given=given)
    assert said.code == 2
    assert told in said.err


def test_a_run_without_attention_aligns_nothing(toy_without_attention: Path, attentio: Callable) -> None:
    said = attentio("align", toy_without_attention, given=b"ab\tba\n")
    assert said.code == 2
    assert "was trained without attention, so it aligns nothing" in said.err


def test_blank_lines_stay_where_they_are_and_are_told(toy, attentio: Callable, tmp_path: Path) -> None:
    first, second = attentio("align", toy.run, given=PAIRS).out.splitlines()[:2]
    pairs = PAIRS.splitlines(keepends=True)
    given = b"\n" + pairs[0] + b" \t \n\n" + pairs[1]
    (tmp_path / "gold").write_text("\n0-0\n\n\n0-0\n")
    said = attentio("align", toy.run, "--gold", tmp_path / "gold", given=given)
    assert said.out.split("\n") == ["", first, "", "", second, ""]
    assert said.err.splitlines()[0] == "lines that are blank or were skipped, which have no links: 3"
    (tmp_path / "gold").write_text("1-1\n0-0\n\n\n0-0\n")
    assert "gold:1: source 1 and target 1" in attentio("align", toy.run, "--gold", tmp_path / "gold", given=given).err


def test_bad_lines_stop_it_or_have_no_links(toy, attentio: Callable, tmp_path: Path) -> None:
    first, second = attentio("align", toy.run, given=PAIRS).out.splitlines()[:2]
    pairs = PAIRS.splitlines(keepends=True)
    given = pairs[0] + b"alone\n\xff\ta\n" + pairs[1]
    stopped = attentio("align", toy.run, given=given)
    assert (stopped.code, stopped.out) == (2, f"{first}\n")
    assert "<stdin>:2: 1 column(s) where 2 are expected" in stopped.err
    skipped = attentio("align", toy.run, "--bad-lines", "skip", given=given)
    assert (skipped.code, skipped.out.split("\n")) == (0, [first, "", "", second, ""])
    assert "lines that are blank or were skipped, which have no links: 2" in skipped.err
    (tmp_path / "gold").write_text("0-0\n")
    refused = attentio("align", toy.run, "--bad-lines", "skip", "--gold", tmp_path / "gold", given=given)
    assert (refused.code, refused.out) == (2, "")


def test_text_that_the_model_does_not_know_is_told_on_either_side(toy, attentio: Callable) -> None:
    said = attentio("align", toy.run, given=b"abc\tcba\nAb\tb9\n")
    assert len(said.out.splitlines()) == 2
    assert said.err.splitlines() == [
        "'A' (line 2, source, character 1): the model does not know it; it knows 'a'",
        "'9' (line 2, target, character 2): the model does not know it",
    ]
    assert attentio("align", toy.run, given=PAIRS).err == ""
