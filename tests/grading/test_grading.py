"""Known mistakes are named, and right code is not blamed, whoever's style it is in."""

from collections.abc import Callable
from typing import Any

import pytest
from planted_codes import PLANTED, TOLD
from right_codes import RIGHT

import attentio as at
from attentio.errors import AttentioError


def _name(code: Any) -> str:
    return getattr(code, "__name__", type(code).__name__) + "".join(map(str, getattr(code, "changed", {})))


@pytest.mark.parametrize(("code", "paper"), RIGHT, ids=[f"{_name(code)}-{paper}" for code, paper in RIGHT])
def test_right_code_is_not_blamed(code: Callable, paper: str, seed: int) -> None:
    at.grade(code, paper, seed=seed).require()


@pytest.mark.parametrize(
    ("code", "paper", "options", "deviations"),
    [(code, paper, {}, deviations) for code, paper, deviations in PLANTED] + TOLD,
    ids=[f"{_name(code)}-{paper}" for code, paper, *_ in PLANTED + TOLD],
)
def test_a_mistake_is_named(
    code: Callable, paper: str, options: dict[str, Any], deviations: set[str], seed: int
) -> None:
    grade = at.grade(code, paper, seed=seed, **options)
    assert not grade.right
    assert set(grade.deviations) == deviations, str(grade)


def test_a_class_that_takes_what_is_not_known_is_told_to_be_made() -> None:
    class Sparsemax:
        def __init__(self, size: int, rate: float) -> None: ...

    with pytest.raises(AttentioError, match=r"^Sparsemax cannot be made: .*; give an instance$"):
        at.grade(Sparsemax, "sparsemax")
