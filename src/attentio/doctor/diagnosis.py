"""What the doctor says: findings, what was checked, what could not be and why."""

import json
import textwrap
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from attentio.errors import harmless
from attentio.notebook import CALM, DOUBTFUL, RIGHT, WRONG, frame, line, lines

Severity = Literal["error", "warning", "note"]
_ORDER = {"error": 0, "warning": 1, "note": 2}
_COLOURS = {"error": WRONG, "warning": DOUBTFUL, "note": CALM}


class Finding(NamedTuple):
    """One thing that is wrong, or worth knowing.

    check: stable id of the check that found it, such as "future-leak".
    severity: "error": results are wrong, or depend on what they must not; "warning": very likely so; "note": good to
        know.
    title: one line.
    explanation: a paragraph: what happens, and why that is a mistake.
    evidence: the numbers: what was changed, which output moved, by how much.
    cure: the usual remedy, with a line of code.
    where: path of the module that it comes from, as in `model.named_modules()`; "" where that was not found.

    >>> at.Finding("future-leak", "error", "outputs see later inputs", "Why.", {"moved": 0.5}, "Give a causal mask.")
    Finding(error future-leak: outputs see later inputs)
    """

    check: str
    severity: Severity
    title: str
    explanation: str
    evidence: dict[str, Any]
    cure: str
    where: str = ""

    def __repr__(self) -> str:
        return harmless(f"Finding({self.severity} {self.check}: {self.title})")

    def _repr_html_(self) -> str:
        """For notebooks."""
        evidence = [f"{name}: {_number(value)}" for name, value in self.evidence.items()]
        inside = [line(self.explanation), lines(evidence, "evidence:"), line(self.cure, "cure:")]
        return frame(self._heading(), *inside, colour=_COLOURS[self.severity])

    def _heading(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        return f"{self.severity.upper()} {self.check}{place}: {self.title}"

    def __str__(self) -> str:
        parts = [self._heading(), _indented(self.explanation)]
        parts += [f"    evidence: {name}: {_number(value)}" for name, value in self.evidence.items()]
        return "\n".join([*parts, _indented(f"cure: {self.cure}")])


class Concluded(NamedTuple):
    """What nobody had said and a check concludes, in words for `Diagnosis.concluded`."""

    about: str
    what: str


class Established(NamedTuple):
    """What a check establishes about one sequence, for later checks; `fact` is one of its `ESTABLISHES`."""

    fact: str
    sequence: str


class Skip(Exception):  # noqa: N818 (no error: a reason)
    """Raised by a check that cannot judge this model; the message says why."""


@dataclass(kw_only=True)
class Diagnosis:
    """All that the doctor found in one model.

    findings: the gravest first.
    checked: seconds that each check took, by its id.
    skipped: why a check could not be made, by its id.
    concluded: what nobody had said and was concluded from names and behaviour, such as whether the model is causal.

    >>> diagnosis = at.Diagnosis(checked={"future-leak": 0.1}, skipped={"padding-leak": "there is no padding"})
    >>> diagnosis
    Diagnosis(healthy, as far as 1 of 2 checks can tell: nothing found)
    >>> diagnosis.healthy, diagnosis.verdict, diagnosis.not_checked()
    (True, 'healthy, as far as 1 of 2 checks can tell', {'there is no padding': ['padding-leak']})
    >>> diagnosis.findings.append(at.Finding("dead-heads", "warning", "a head does nothing", "Why.", {}, "Prune it."))
    >>> diagnosis.findings.append(at.Finding("future-leak", "error", "it sees the future", "Why.", {}, "Mask it."))
    >>> diagnosis.sort()
    >>> diagnosis
    Diagnosis(NOT healthy: 1 error, 1 warning; future-leak; dead-heads)
    >>> diagnosis.json()
    '{...healthy": false,...
    """

    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    concluded: dict[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether there is no error. Warnings and notes may be there; `skipped` says what was not looked at."""
        return not any(finding.severity == "error" for finding in self.findings)

    def sort(self) -> None:
        """Put the gravest findings first."""
        self.findings.sort(key=lambda finding: _ORDER[finding.severity])

    def json(self) -> str:
        """The same as JSON: healthy, findings, checked, skipped, concluded."""
        content = {
            "healthy": self.healthy,
            "findings": [finding._asdict() for finding in self.findings],
            "checked": self.checked,
            "skipped": self.skipped,
            "concluded": self.concluded,
        }
        return json.dumps(content, indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        found = "".join(f"; {finding.check}" for finding in self.findings)
        return harmless(f"Diagnosis({self._heading()}{found})")

    def __str__(self) -> str:
        out = [self._heading()]
        out += [f"not checked: {', '.join(names)}: {why}" for why, names in self.not_checked().items()]
        out += ["", *(f"{finding}\n" for finding in self.findings)]
        out += [f"concluded  {name}: {what}" for name, what in self.concluded.items()]
        out += [f"checked    {', '.join(self.checked)}"]
        return "\n".join(out)

    def _repr_html_(self) -> str:
        """For notebooks."""
        not_checked = [f"{', '.join(names)}: {why}" for why, names in self.not_checked().items()]
        concluded = [f"{name}: {what}" for name, what in self.concluded.items()]
        inside = [lines(not_checked, "not checked:"), lines(concluded, "concluded:")]
        findings = [finding._repr_html_() for finding in self.findings]
        colour = _COLOURS[self.findings[0].severity] if self.findings else RIGHT
        return frame(self._heading(), *findings, *inside, line(", ".join(self.checked), "checked:"), colour=colour)

    def _heading(self) -> str:
        count = {name: sum(finding.severity == name for finding in self.findings) for name in _ORDER}
        said = ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in count.items() if n) or "nothing found"
        return f"{self.verdict}: {said}"

    @property
    def verdict(self) -> str:
        """In words, with how much of it was looked at."""
        if not self.healthy:
            return "NOT healthy"
        every = len({*self.checked, *self.skipped})
        return (
            f"healthy, as far as {every - len(self.skipped)} of {every} checks can tell" if self.skipped else "healthy"
        )

    def not_checked(self) -> dict[str, list[str]]:
        """The checks that could not be made, or only in part, by the reason."""
        reasons: dict[str, list[str]] = {}
        for name, why in self.skipped.items():
            reasons.setdefault(why, []).append(name)
        return reasons


def _indented(text: str) -> str:
    return textwrap.fill(text, width=110, initial_indent="    ", subsequent_indent="    ")


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
