"""What the grader knows of a paper: its equation, an oracle with switches, and a sentence for each switch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor

Has = Callable[[str], bool]
"""Whether the deviation of this name is switched on in an oracle."""

Given = dict[str, Any]
"""What code and oracle both compute with, by role: query, key, W, .. in float64."""

Answer = dict[str, Tensor]
"""What they return, by name: context, weights, .."""


class Deviation(NamedTuple):
    """One way in which code differs from a paper.

    line: the line of the equation, a key of `Paper.equation`.
    en, ko: what the code does, and what the paper says.
    """

    line: str
    en: str
    ko: str

    def told(self, language: str) -> str:
        """The sentence in a language."""
        return self.ko if language == "ko" else self.en


class Layout(NamedTuple):
    """One way to keep a paper's parameters.

    shapes: of each role, by the names of sizes; "3*d" and "dq+dk" are sums of them.
    to_paper: from those to the roles that the oracle reads.
    note: a key of `NOTES`, where it is not the paper's own way.
    """

    shapes: Mapping[str, tuple[str, ...]]
    to_paper: Callable[[Given], Given] = dict
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One equation of a paper.

    equation: its lines.
    oracle: computes them; each deviation and each convention is a switch in it.
    deviations: mistakes, the likeliest first: where two cannot be told apart, the first is named.
    conventions: readings of the paper that are no mistakes.
    signature: an example of code that can be graded.
    kind: how code is called: "attention" with sequences, "table" with sizes, "corruption" with tokens.
    sizes: of features; first all different, then all equal.
    layouts: of the parameters; the first is the paper's.
    names: roles that a name stands for in this paper, before the names that hold for all.
    unbounded: whether scores may be of any size, so that a mask of -10000 may not suffice.
    """

    name: str
    reference: str
    equation: Mapping[str, str]
    oracle: Callable[[Given, Has], Answer]
    deviations: Mapping[str, Deviation]
    signature: str
    kind: Literal["attention", "table", "corruption"] = "attention"
    conventions: Mapping[str, Deviation] = field(default_factory=dict)
    sizes: tuple[Mapping[str, int], ...] = ()
    layouts: tuple[Layout, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unbounded: bool = False


def none(name: str) -> bool:
    """The switches of the paper itself: all off."""
    return False
