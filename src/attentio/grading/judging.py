"""Which deviation explains what the code returned: each is tried in the oracle, then each pair."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from attentio.grading.candidates import Candidate
from attentio.grading.paper import Answer, Paper
from attentio.grading.reading import Run

MOST_PAIRED = 4
"""Ways to call the code for which pairs of deviations are tried."""


class Judgement(NamedTuple):
    """right, or the deviations that explain the difference (none: unexplained), for the way of calling it that was
    judged."""

    right: bool
    deviations: tuple[str, ...]
    conventions: tuple[str, ...]
    candidate: Candidate


class _Oracles:
    """Answers of the oracle with switches on, kept while one code is judged."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self.kept: dict[tuple[object, ...], Answer | None] = {}

    def fits(self, run: Run, switches: frozenset[str], tolerance: float) -> bool:
        key = (_name(run), switches)
        if key not in self.kept:
            try:
                self.kept[key] = self.paper.oracle(run.given, switches.__contains__)
            except (RuntimeError, IndexError):  # sizes that this mistake cannot have
                self.kept[key] = None
        answer = self.kept[key]
        return answer is not None and run.fits(answer, tolerance)


def _name(run: Run) -> tuple[object, ...]:
    return tuple((name, id(one) if isinstance(one, torch.Tensor) else one) for name, one in run.given.items())


def judge(candidates: Iterable[Candidate], paper: Paper) -> Judgement:
    """The first way of calling that is right; else the way and the deviations that explain it."""
    oracles = _Oracles(paper)
    seen: list[Candidate] = []
    conventions = [frozenset[str](), *map(frozenset, _subsets(list(paper.conventions)))]
    for candidate in candidates:
        seen.append(candidate)
        for convention in conventions:
            if candidate.raised is None and not candidate.random and _explains(oracles, candidate, convention):
                again = candidate.again(candidate.seed + 500)
                if all(oracles.fits(run, convention, candidate.tolerance) for run in again):
                    return _large(oracles, candidate, convention, paper)
    if all(one.random for one in seen):
        return Judgement(False, ("random",), (), seen[0])
    seen = [one for one in seen if not one.random]
    seen = [one for one in seen if one.raised is None] or seen
    for switches, candidate in _tries(paper, seen):
        if _explains(oracles, candidate, switches):
            again = candidate.again(candidate.seed + 500)
            if all(oracles.fits(run, switches, candidate.tolerance) for run in again):
                found = tuple(name for name in paper.deviations if name in switches)
                return Judgement(False, found, tuple(switches - set(found)), candidate)
    return Judgement(False, (), (), seen[0])


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for count in range(1, len(names) + 1):
        yield from combinations(names, count)


def _tries(paper: Paper, seen: Sequence[Candidate]) -> Iterator[tuple[frozenset[str], Candidate]]:
    conventions = ((), *((one,) for one in paper.conventions), *combinations(paper.conventions, 2))
    # A table says too little of how it is meant: there the likeliest mistake is named, not the likeliest reading.
    groups = [seen] if paper.kind == "table" else [[one] for one in seen]
    for group in groups:
        for name in paper.deviations:
            for convention in conventions:
                for candidate in group:
                    if name not in candidate.barred:
                        yield frozenset({name, *convention}), candidate
    for pair in combinations(paper.deviations, 2):
        for candidate in seen[:MOST_PAIRED]:
            if not candidate.barred & set(pair):
                yield frozenset(pair), candidate


def _explains(oracles: _Oracles, candidate: Candidate, switches: frozenset[str]) -> bool:
    # The last case, with padding if there is any, tells most apart.
    finite = any(bool(one.isfinite().any()) for run in candidate.runs for one in run.yours.values())
    return finite and all(oracles.fits(run, switches, candidate.tolerance) for run in candidate.runs[::-1])


def _large(oracles: _Oracles, candidate: Candidate, convention: frozenset[str], paper: Paper) -> Judgement:
    """Right with usual scores; with very large ones a mask of -10000 leaks, and exp overflows."""
    right = Judgement(True, (), tuple(convention), candidate)
    run = candidate.large
    if run is None or oracles.fits(run, convention, candidate.tolerance):
        return right
    if any(bool(one.isnan().any() or one.isinf().any()) for one in run.yours.values()):
        return right._replace(candidate=candidate.noted("overflow"))
    for name in paper.deviations:
        switches = convention | {name}
        if oracles.fits(run, switches, candidate.tolerance) and _explains(oracles, candidate, switches):
            return Judgement(False, (name,), tuple(convention), candidate)
    return right


class Difference(NamedTuple):
    """One number that is different.

    name: of what was returned. place: along its axes. case: in which inputs. agreeing: names that agree there.
    agreeing_cases: inputs without a difference.
    """

    name: str
    place: tuple[int, ...]
    yours: float
    paper: float
    case: str
    agreeing: tuple[str, ...]
    agreeing_cases: tuple[str, ...]


def difference(candidate: Candidate) -> Difference | None:
    """Where the first difference is, in the order of the equation: weights before context."""
    wrong_cases = [run.case.name for run in candidate.runs if not run.fits(run.expected, candidate.tolerance)]
    runs = [run for run in candidate.runs if not run.fits(run.expected, candidate.tolerance)] or (
        [candidate.large] if candidate.large is not None else []
    )
    for run in runs:
        names = sorted(run.yours, key=lambda name: name == "context")
        agreeing = tuple(
            name for name in names if Run(*run[:3], {name: run.yours[name]}, {}).fits(run.expected, candidate.tolerance)
        )
        for name in names:
            if name in agreeing:
                continue
            yours, paper = run.yours[name], run.expected[name]
            if yours.shape != paper.shape:
                continue
            gap = (yours - paper).abs().nan_to_num(torch.inf)
            place = tuple(int(one) for one in np.unravel_index(int(gap.argmax()), gap.shape))
            right_cases = tuple(one.case.name for one in candidate.runs if one.case.name not in wrong_cases)
            return Difference(
                name, place, float(yours[place]), float(paper[place]), run.case.name, agreeing, right_cases
            )
    return None
