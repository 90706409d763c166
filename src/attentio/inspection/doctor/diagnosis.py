"""What the doctor says: findings, what was checked, what could not be and why."""

import json
import textwrap
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
_ORDER = {"error": 0, "warning": 1, "note": 2}


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
    """

    check: str
    severity: Severity
    title: str
    explanation: str
    evidence: dict[str, Any]
    cure: str
    where: str = ""

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        parts = [f"{self.severity.upper()} {self.check}{place}: {self.title}", _indented(self.explanation)]
        parts += [f"    evidence: {name}: {_number(value)}" for name, value in self.evidence.items()]
        return "\n".join([*parts, _indented(f"cure: {self.cure}")])


class Skip(Exception):  # noqa: N818 (no error: a reason)
    """Raised by a check that cannot judge this model; the message says why."""


@dataclass(kw_only=True)
class Diagnosis:
    """All that the doctor found in one model.

    findings: the gravest first.
    checked: seconds that each check took, by its id.
    skipped: why a check could not be made, by its id.
    concluded: what nobody had said and was concluded from names and behaviour, such as whether the model is causal.
    """

    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    concluded: dict[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether there is no error. Warnings and notes may be there."""
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

    def __str__(self) -> str:
        count = {name: sum(finding.severity == name for finding in self.findings) for name in _ORDER}
        said = ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in count.items() if n) or "nothing found"
        lines = [f"{'healthy' if self.healthy else 'NOT healthy'}: {said}", ""]
        lines += [f"{finding}\n" for finding in self.findings]
        lines += [f"concluded  {name}: {what}" for name, what in self.concluded.items()]
        lines += [f"checked    {', '.join(self.checked)}"]
        lines += [f"skipped    {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)


def _indented(text: str) -> str:
    return textwrap.fill(text, width=110, initial_indent="    ", subsequent_indent="    ")


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
