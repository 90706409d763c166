"""Quality by how often the rarest symbol of a text was seen."""

import random
from collections import Counter

from attentio.evaluation.by_frequency import by_frequency, times_of_rarest


def test_the_rarest_symbol_counts_and_an_unseen_one_is_rarest():
    times = Counter("aaabbc")
    assert [times_of_rarest(text, times, list) for text in ("ab", "cba", "ax", "")] == [2, 1, 0, 0]
    assert times_of_rarest("the cat", {"the": 9, "cat": 4}, str.split) == 4


def test_each_sequence_is_scored_among_those_seen_about_as_often(seed):
    draw = random.Random(seed)
    times = [draw.choice([0, 1, 9, 10, 99, 100, 5000]) for _ in range(301)]
    outputs = ["right" if draw.random() < 0.6 else "wrong" for _ in times]
    found = by_frequency(times, outputs, [["right"]] * 301, symbol="source word", metric="wer")
    for each, (first, last) in zip(found, [(0, 0), (1, 9), (10, 99), (100, 100), (5000, 5000)], strict=True):
        inside = [output for count, output in zip(times, outputs, strict=True) if first <= count <= last]
        assert (each.fewest, each.most, each.count, each.symbol) == (first, last, len(inside), "source word")
        assert each.score.value == 100 * inside.count("wrong") / len(inside)
        assert each.score.margin > 0
