"""What the grader says."""

import json
from dataclasses import dataclass
from typing import Any

from attentio.grading.judging import Difference
from attentio.grading.notes import told
from attentio.grading.paper import Deviation, Paper
from attentio.grading.papers.in_korean import IN_KOREAN
from attentio.notebook import RIGHT, WRONG, frame, line

_WORDS = {
    "right": ("right", "맞음"),
    "wrong": ("different", "다름"),
    "equals": ("it computes what the paper says", "논문과 같은 값을 계산합니다"),
    "where": ("the line", "식"),
    "yours": ("yours", "여러분의 값"),
    "paper": ("the paper's", "논문의 값"),
    "in": ("inputs", "입력"),
    "note": ("note", "참고"),
    "seed": ("seed", "시드"),
    "raised": ("your code raised", "여러분의 코드에서 난 예외"),
    "unexplained": (
        "no mistake that is known explains the difference, nor any two of them",
        "알려진 실수 하나나 둘로는 이 차이가 설명되지 않습니다",
    ),
    "agree": ("agrees", "일치"),
    "agree in": ("no difference in", "다음에서는 차이가 없음"),
    "different sizes": ("all sizes different", "크기가 모두 다름"),
    "as many queries as keys": ("as many queries as keys", "쿼리와 키의 개수가 같음"),
    "equally many features": ("equally many features", "특징 수가 모두 같음"),
    "with padding": ("with padding", "패딩 있음"),
    "with padding, as many queries as keys": (
        "with padding, as many queries as keys",
        "패딩 있음, 쿼리와 키의 개수가 같음",
    ),
    "very large scores": ("very large scores", "매우 큰 점수"),
    "all equal": ("all sizes equal", "크기가 모두 같음"),
    "many tokens": ("many tokens", "많은 토큰"),
    "random": (
        "two calls with the same inputs return different numbers; switch dropout off",
        "같은 입력으로 두 번 부르면 값이 다릅니다. 드롭아웃을 끄십시오",
    ),
}


@dataclass(frozen=True)
class Grade:
    """Whether code computes what a paper says.

    paper: that it was compared with.
    right: no difference, to rounding.
    deviations: names of the mistakes that together explain the difference; none where it is unexplained.
    conventions, notes: what is told of right code too.
    difference: one number that is different.
    seed: of the random inputs.
    raised: the exception of the code, with its line.

    >>> grade = at.grade(lambda query, keys: (query @ keys.mT).softmax(-2) @ keys, "luong-dot", seed=1)
    >>> grade
    Grade(luong-dot: softmax over queries)
    >>> grade.sentences
    ("the softmax runs over the queries; it must run over the keys, so that each query's weights sum to 1",)
    >>> grade.lines, grade.remarks
    (('alpha_ij = exp(e_ij) / sum_k exp(e_ik)',), ('your code takes no mask, so padding was not looked at',))
    >>> '"right": false' in grade.json()
    True
    >>> at.grade(lambda query, keys: (query @ keys.mT).softmax(-1) @ keys, "luong-dot", seed=1).require()
    Grade(luong-dot: right)
    """

    paper: Paper
    right: bool
    deviations: tuple[str, ...] = ()
    conventions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    difference: Difference | None = None
    seed: int = 0
    language: str = "en"
    raised: str | None = None

    def require(self) -> "Grade":
        """Return this grade if the code is right; otherwise raise AssertionError with all of it as the text."""
        __tracebackhide__ = True
        if not self.right:
            raise AssertionError(str(self))
        return self

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is different, one sentence each."""
        if self.right:
            return (self._word("equals"),)
        if self.raised is not None:
            return (f"{self._word('raised')}: {self.raised}",)
        if self.deviations == ("random",):
            return (self._word("random"),)
        return tuple(self._deviation(name).told(self.language) for name in self.deviations) or (
            self._word("unexplained"),
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the equation that are different, in words in the language of the grade."""
        keys = [self._deviation(name).line for name in self.deviations if name in self.paper.deviations]
        lines = tuple(self.paper.equation[key] for key in dict.fromkeys(keys))
        return tuple(IN_KOREAN.get(one, one) for one in lines) if self.language == "ko" else lines

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is told beside."""
        conventions = [self.paper.conventions[name].told(self.language) for name in self.conventions]
        return (*conventions, *(told(name, self.language) for name in self.notes))

    def json(self) -> str:
        """The same as JSON."""
        content: dict[str, Any] = {
            "paper": self.paper.name,
            "right": self.right,
            "deviations": list(self.deviations),
            "sentences": list(self.sentences),
            "lines": list(self.lines),
            "difference": None if self.difference is None else self.difference._asdict(),
            "notes": list(self.remarks),
            "raised": self.raised,
            "seed": self.seed,
        }
        return json.dumps(content, indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        what = "right" if self.right else "raised" if self.raised else ", ".join(self.deviations) or "unexplained"
        return f"Grade({self.paper.name}: {what})"

    def __str__(self) -> str:
        word = self._word("right" if self.right else "wrong")
        out = [f"{self.paper.name}: {word}  ({self.paper.reference}; {self._word('seed')} {self.seed})"]
        out += [f"  {sentence}" for sentence in self.sentences]
        out += [f"  {self._word('where')}: {line}" for line in self.lines]
        if self.difference is not None:
            out += [f"  {line}" for line in self._difference(self.difference)]
        return "\n".join([*out, *(f"  {self._word('note')}: {note}" for note in self.remarks)])

    def _repr_html_(self) -> str:
        """For notebooks."""
        first, *rest = str(self).split("\n")
        return frame(first, *(line(each.strip()) for each in rest), colour=RIGHT if self.right else WRONG)

    def _difference(self, one: Difference) -> list[str]:
        place = ", ".join(map(str, one.place))
        yours, paper = self._word("yours"), self._word("paper")
        where = f"{one.name}[{place}]" if place else one.name
        lines = [
            f"{where}: {yours} {one.yours:.4f}, {paper} {one.paper:.4f}  ({self._word('in')}: {self._case(one.case)})"
        ]
        if not self.deviations:
            if 0 < len(one.agreeing) < 3:
                lines.append(f"{self._word('agree')}: {', '.join(one.agreeing)}")
            if one.agreeing_cases:
                lines.append(f"{self._word('agree in')}: {', '.join(map(self._case, one.agreeing_cases))}")
        return lines

    def _case(self, name: str) -> str:
        return self._word(name) if name in _WORDS else name

    def _deviation(self, name: str) -> Deviation:
        return self.paper.deviations[name]

    def _word(self, name: str) -> str:
        return _WORDS[name][self.language == "ko"]
