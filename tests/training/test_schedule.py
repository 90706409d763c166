import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attentio.config.schema import Decay
from attentio.training.schedule import learning_rate

DECAYS: list[Decay] = ["constant", "linear", "cosine", "inverse-sqrt"]


@pytest.mark.parametrize("decay", DECAYS)
def test_the_rate_climbs_linearly_to_its_peak(decay: Decay) -> None:
    rates = [learning_rate(step, peak=0.7, warmup=5, total=31, decay=decay) for step in range(1, 6)]
    assert rates == pytest.approx([0.14, 0.28, 0.42, 0.56, 0.7])


@pytest.mark.parametrize(
    ("decay", "halfway", "last"),
    [
        ("constant", 1.0, 1.0),
        ("linear", 0.5, 1 / 20),
        ("cosine", 0.5, (1 + math.cos(math.pi * 19 / 20)) / 2),
        ("inverse-sqrt", math.sqrt(5 / 16), math.sqrt(5 / 25)),
    ],
)
def test_decays_by_hand(decay: Decay, halfway: float, last: float) -> None:
    """5 updates of warm-up and 20 of decay: update 16 stands halfway, update 25 is the last."""
    rates = [learning_rate(step, peak=3.0, warmup=5, total=25, decay=decay) for step in (16, 25)]
    assert rates == pytest.approx([3 * halfway, 3 * last])


@given(st.sampled_from(DECAYS), st.integers(0, 50), st.integers(1, 200))
def test_after_warm_up_the_rate_never_rises_and_stays_above_zero(decay: Decay, warmup: int, total: int) -> None:
    rates = [learning_rate(step, peak=0.1, warmup=warmup, total=total, decay=decay) for step in range(1, total + 1)]
    assert all(0 < rate <= 0.1 + 1e-12 for rate in rates)
    decaying = rates[warmup:]
    assert decaying == sorted(decaying, reverse=True)
    if warmup < total:
        first = math.sqrt(max(warmup, 1) / (warmup + 1)) if decay == "inverse-sqrt" else 1
        assert rates[warmup] == pytest.approx(0.1 * first)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_beyond_its_end_the_rate_is_zero(decay: Decay) -> None:
    assert learning_rate(18, peak=1.0, warmup=3, total=17, decay=decay) == pytest.approx(0)
    assert learning_rate(1000, peak=1.0, warmup=3, total=17, decay=decay) == pytest.approx(0)
