"""Alignments read off matrices and scored, worked by hand."""

from pathlib import Path

import pytest
import torch

from attentio.errors import AttentioError
from attentio.evaluation.alignment import (
    Gold,
    Link,
    format_hard,
    format_soft,
    hard_links,
    read_gold,
    score_alignments,
    shifted,
    soft_links,
)

WEIGHTS = torch.tensor(
    [
        [0.1, 0.7, 0.2, 0.0, 0.0],  # looks at source 1
        [0.0, 0.6, 0.0, 0.4, 0.0],  # too, but less than its neighbour does
        [0.0, 0.0, 0.0, 0.0, 0.0],  # looks nowhere
    ]
)


def links(*pairs: tuple[int, int]) -> frozenset[Link]:
    return frozenset(Link(*pair) for pair in pairs)


def test_each_target_token_is_linked_with_what_it_looks_at_most() -> None:
    assert format_hard(hard_links(WEIGHTS)) == "1-0 1-1"


def test_a_threshold_and_the_other_side_can_take_links_away() -> None:
    assert format_hard(hard_links(WEIGHTS, threshold=0.65)) == "1-0"
    assert format_hard(hard_links(WEIGHTS, mutual=True)) == "1-0"


def test_source_stands_before_target_in_a_link() -> None:
    assert format_hard(hard_links(torch.eye(3)[[2, 0]])) == "2-0 0-1"


def test_soft_links_carry_their_weights_and_none_that_is_zero() -> None:
    assert format_soft(soft_links(WEIGHTS)) == "0-0:0.1 1-0:0.7 2-0:0.2 1-1:0.6 3-1:0.4"
    assert format_soft(soft_links(WEIGHTS, threshold=0.0)) == format_soft(soft_links(WEIGHTS))
    assert format_soft(soft_links(WEIGHTS, threshold=0.5)) == "1-0:0.7 1-1:0.6"


def test_nothing_is_aligned_with_nothing() -> None:
    assert hard_links(torch.zeros(0, 3)) == hard_links(torch.zeros(3, 0)) == soft_links(torch.zeros(0, 3)) == []


def test_shifting_by_one_gives_a_token_the_row_after_its_own_and_by_minus_one_the_row_before(seed: int) -> None:
    weights = torch.rand(5, 7)
    assert torch.equal(shifted(weights, by=1)[:-1], weights[1:])
    assert not shifted(weights, by=1)[-1].any()
    assert torch.equal(shifted(weights, by=-1)[1:], weights[:-1])
    assert not shifted(weights, by=-1)[0].any()
    assert torch.equal(shifted(weights, by=0), weights)
    assert not shifted(weights, by=6).any()
    assert not shifted(weights, by=-6).any()


def test_error_rate_precision_and_recall_are_those_worked_by_hand() -> None:
    gold = [
        Gold(links((0, 0), (1, 1)), links((0, 0), (1, 1), (2, 1))),
        Gold(links((0, 1)), links((0, 1))),
    ]
    found = [[Link(0, 0), Link(2, 1), Link(3, 2)], [Link(0, 1), Link(1, 0)]]
    # |A| = 5, |S| = 3; in S: 0-0 and 0-1, 2 of them; in P: 2-1 too, 3 of them.
    score = score_alignments(found, gold)
    assert score.error_rate == pytest.approx(1 - (2 + 3) / (5 + 3))
    assert score.precision == pytest.approx(3 / 5)
    assert score.recall == pytest.approx(2 / 3)


def test_sure_links_alone_are_a_perfect_alignment_and_possible_ones_no_error() -> None:
    gold = [Gold(links((0, 0)), links((0, 0), (1, 1)))]
    assert score_alignments([[Link(0, 0)]], gold) == (0, 1, 1)
    assert score_alignments([[Link(0, 0), Link(1, 1)]], gold) == (0, 1, 1)
    assert score_alignments([[]], gold) == (1, 0, 0)


def test_scores_of_nothing_are_refused() -> None:
    with pytest.raises(AttentioError, match="nothing to score"):
        score_alignments([[]], [Gold(frozenset(), links((1, 1)))])
    with pytest.raises(ValueError, match="expected 1, got 2"):
        score_alignments([[], []], [Gold(frozenset(), frozenset())])


def test_gold_is_read_with_its_sure_and_possible_links(tmp_path: Path) -> None:
    path = tmp_path / "gold"
    path.write_text("0-0 2?1\n\n1-0\n")
    assert read_gold(path) == [
        Gold(links((0, 0)), links((0, 0), (2, 1))),
        Gold(frozenset(), frozenset()),
        Gold(links((1, 0)), links((1, 0))),
    ]


def test_gold_that_counts_from_one_comes_back_counted_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "gold"
    path.write_text("1-1 3?2\n")
    assert read_gold(path, first=1) == [Gold(links((0, 0)), links((0, 0), (2, 1)))]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1-1 0-2", "gold:2: '0-2' counts from 0, but the file was said to count from 1"),
        ("1-1 3+4", "gold:2: '3+4' is no link; write 3-4 for a sure one, 3?4 for a possible one"),
        ("1-1:0.5", "gold:2: '1-1:0.5' is no link"),
        ("-1-2", "gold:2: '-1-2' is no link"),
    ],
    ids=range(4),
)
def test_what_is_wrong_in_a_gold_file_is_told_with_file_and_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "gold"
    path.write_text(f"1-1\n{line}\n")
    with pytest.raises(AttentioError) as caught:
        read_gold(path, first=1)
    assert str(caught.value).startswith(f"{tmp_path}/{told}")


def test_a_gold_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(AttentioError, match="No such file"):
        read_gold(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(AttentioError, match="not a text file"):
        read_gold(tmp_path / "bytes")
