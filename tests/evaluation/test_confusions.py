"""Which token is said for which."""

import random

from attentio.evaluation.confusions import Confusion, confusions
from attentio.evaluation.metrics import score


def test_edits_are_counted_by_the_tokens_they_change() -> None:
    found = confusions(["a b c", "a x", "q a b"], [["a b d"], ["a b"], ["a b"]])
    assert [tuple(one) for one in found] == [("", "q", 1, 0), ("b", "x", 1, 3), ("d", "c", 1, 1)]
    assert [str(one) for one in found] == ["q too much (1)", "x for b (1 of 3)", "c for d (1 of 1)"]
    assert str(confusions(["a"], [["a b"]])[0]) == "nothing for b (1 of 1)"


def test_each_output_stands_beside_its_nearest_reference() -> None:
    assert confusions(["a b c"], [["x y z", "a b c"]]) == []


def test_the_times_add_up_to_the_edits_of_per(seed: int) -> None:
    draw = random.Random(seed)
    outputs, right = (["".join(draw.choices("abcde", k=draw.randrange(1, 9))) for _ in range(31)] for _ in range(2))
    found = confusions(outputs, [[each] for each in right], units="characters")
    edits = score(outputs, [[each] for each in right], metrics=["per"], units="characters")[0].value
    assert sum(one.times for one in found) == round(edits * sum(map(len, right)) / 100)
    assert found == sorted(found, key=lambda one: -one.times)


def test_a_space_is_seen() -> None:
    assert str(Confusion(" ", "", 2, 7)) == "nothing for ␣ (2 of 7)"
