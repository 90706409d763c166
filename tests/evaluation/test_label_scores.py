"""Scores of labels, against their definitions."""

import random

import pytest

from attentio.evaluation.labels import label_confusions, label_scores, spans


def test_accuracy_and_macro_f1_are_as_counted_label_by_label() -> None:
    draw = random.Random(3)
    lengths = [draw.randint(1, 7) for _ in range(23)]
    found, expected = ([draw.choices("xyz", k=length) for length in lengths] for _ in range(2))
    pairs = [(a, b) for text in range(23) for a, b in zip(found[text], expected[text], strict=True)]
    f1 = []
    for label in "xyz":
        both = sum(a == b == label for a, b in pairs)
        precision = both / sum(a == label for a, _ in pairs)
        recall = both / sum(b == label for _, b in pairs)
        f1.append(2 * precision * recall / (precision + recall) if both else 0.0)
    accuracy, macro = label_scores(found, expected)
    assert accuracy.value == pytest.approx(100 * sum(a == b for a, b in pairs) / len(pairs))
    assert macro.value == pytest.approx(100 * sum(f1) / 3)
    wrong = label_confusions(found, expected)
    assert sum(one.times for one in wrong) == sum(a != b for a, b in pairs)
    assert all(one.of == sum(b == one.reference for _, b in pairs) for one in wrong)


def test_spans_are_counted_whole() -> None:
    expected = [["B-A", "I-A", "O", "B-B"], ["O", "B-A", "B-A"]]
    found = [["B-A", "I-A", "O", "B-A"], ["O", "B-A", "I-A"]]
    assert spans(expected[0]) == [(0, 2, "A"), (3, 4, "B")]
    assert spans(["I-A", "O", "I-B", "I-A"]) == [(0, 1, "A"), (2, 3, "B"), (3, 4, "A")]
    by_name = {one.name: one.value for one in label_scores(found, expected)}
    assert by_name["span-f1"] == pytest.approx(100 * 2 * 1 / (3 + 4))
    assert len(label_scores([["a"]], [["B-A"]])) == 3
    assert len(label_scores([["a"]], [["b"]])) == 2
