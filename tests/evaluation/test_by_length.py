import random
from collections import Counter
from itertools import pairwise

import pytest

from attentio.evaluation.by_length import by_source_length


def test_every_sequence_is_in_one_bin_and_no_length_is_in_two(seed):
    draw = random.Random(seed)
    lengths = [draw.randrange(1, 30) for _ in range(211)]
    found = by_source_length(lengths, ["a"] * 211, [["a"]] * 211, metric="exact", bins=7)
    assert sum(each.count for each in found) == 211
    for earlier, later in pairwise(found):
        assert earlier.longest < later.shortest
    for each in found:
        assert each.count == sum(each.shortest <= length <= each.longest for length in lengths)


def test_bins_hold_nearly_equal_numbers(seed):
    draw = random.Random(seed)
    lengths = [min(draw.randrange(1, 60), draw.randrange(1, 60)) for _ in range(503)]
    found = by_source_length(lengths, ["a"] * 503, [["a"]] * 503, metric="exact", bins=5)
    most = max(Counter(lengths).values())
    assert len(found) == 5
    assert all(abs(each.count - 503 / 5) <= most for each in found)


def test_each_bin_is_scored_by_its_own_sequences():
    lengths = [5, 1, 9, 5, 1, 9]
    right = ["p", "q", "r", "s", "t", "u"]
    wrong_when_long = [x if length < 9 else "?" for x, length in zip(right, lengths, strict=True)]
    found = by_source_length(lengths, wrong_when_long, [[x] for x in right], metric="wer", bins=3)
    assert [(each.shortest, each.longest, each.count) for each in found] == [(1, 1, 2), (5, 5, 2), (9, 9, 2)]
    assert [each.score.value for each in found] == [0, 0, 100]


def test_one_length_is_one_bin():
    (only,) = by_source_length([4] * 11, ["a"] * 11, [["b"]] * 11, metric="wer", bins=6)
    assert (only.shortest, only.longest, only.count, only.score.value) == (4, 4, 11, 100)


def test_mistaken_arguments_are_named():
    with pytest.raises(ValueError, match="source_lengths must hold one length a hypothesis: expected 1, got 2"):
        by_source_length([1, 2], ["a"], [["a"]], metric="wer")
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        by_source_length([1], ["a"], [["a"]], metric="wer", bins=0)
