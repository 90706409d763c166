"""How far a score may be off, and whether two differ by chance."""

import math
import random

import pytest

from attentio.evaluation.metrics import difference_p_value, score
from attentio.evaluation.resampling import resamples_of


def noisy(draw: random.Random, right: list[str], share: float) -> list[str]:
    return [" ".join("x" if draw.random() < share else token for token in each.split()) for each in right]


def corpus(draw: random.Random, sequences: int = 401, tokens: int = 7) -> list[str]:
    return [" ".join(draw.choices("abcdefg", k=tokens)) for _ in range(sequences)]


def test_the_margin_of_a_share_is_that_of_the_normal_distribution(seed: int) -> None:
    draw = random.Random(seed)
    right = corpus(draw)
    found = score(noisy(draw, right, 0.1), [[each] for each in right], metrics=["wer"], margins=True)[0]
    share = found.value / 100
    assert found.margin == pytest.approx(196 * math.sqrt(share * (1 - share) / len(right)), rel=0.15)


def test_the_margin_of_edits_is_sacrebleus_where_the_score_is_the_same(seed: int) -> None:
    """Without moved words TER is the rate of edits."""
    draw = random.Random(seed)
    right = corpus(draw)
    per, ter = score(noisy(draw, right, 0.1), [[each] for each in right], metrics=["per", "ter"], margins=True)
    assert per.value == pytest.approx(ter.value)
    assert per.margin == pytest.approx(ter.margin, rel=0.03)
    assert "bs:1000" in ter.signature


def test_the_margin_is_not_0_where_all_is_right() -> None:
    """Ten of ten: from 72% on, as Wilson has it."""
    wer, exact = score(["a"] * 10, [["a"]] * 10, metrics=["wer", "exact"], margins=True)
    assert wer.margin == exact.margin == pytest.approx((100 - 72.25) / 2, abs=0.1)


def test_margins_are_estimated_where_asked_for() -> None:
    assert [one.margin for one in score(["a"], [["a"]], metrics=["wer", "per", "bleu"])] == [None] * 3


@pytest.mark.parametrize("metric", ["wer", "per", "exact", "chrf"])
def test_a_better_model_is_told_from_an_equal_one(seed: int, metric: str) -> None:
    draw = random.Random(seed)
    right = corpus(draw)
    references = [[each] for each in right]
    good, worse = noisy(draw, right, 0.02), noisy(draw, right, 0.2)
    assert difference_p_value(metric, worse, good, references) < 0.01
    assert difference_p_value(metric, good, good, references) == 1.0
    one, other = worse[:200] + good[200:], good[:201] + worse[201:]  # equally often wrong, but for one or two
    assert difference_p_value(metric, one, other, references) > 0.05


def test_the_p_value_does_not_depend_on_which_comes_first(seed: int) -> None:
    draw = random.Random(seed)
    right = corpus(draw, sequences=53)
    references = [[each] for each in right]
    one, other = noisy(draw, right, 0.1), noisy(draw, right, 0.15)
    assert difference_p_value("per", one, other, references) == difference_p_value("per", other, one, references)


def test_resamples_are_fewer_of_large_data_and_none_of_very_large() -> None:
    assert [resamples_of(size) for size in (1, 5_000, 20_000, 50_000, 50_001)] == [1000, 1000, 250, 100, 0]
