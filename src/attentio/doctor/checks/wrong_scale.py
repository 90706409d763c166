"""Scores that are not divided by the square root of a head's features: too flat, or saturated.

Seen in the scale that was given, or that written-out scores have compared with the products of queries and keys. There
are good reasons for another scale (T5 has none, others declare one), so there must be evidence.
"""

import math
from collections.abc import Iterator

from attentio.doctor.diagnosis import Finding, Severity
from attentio.doctor.patient.facts import Facts
from attentio.doctor.patient.subject import Subject
from attentio.doctor.probes.heads import Heads, heads_of

ID = "wrong-scale"
TITLE = "scores are scaled by 1 / sqrt(d)"
NEEDS = ()

_SATURATED = 0.9


def check(subject: Subject, facts: Facts) -> Iterator[Finding]:
    """Module by module."""
    for heads in heads_of(subject, facts):
        for scale, features in heads.scales:
            verdict = _verdict(scale, features, heads)
            if verdict is not None:
                yield _finding(heads, scale, features, *verdict)


def _verdict(scale: float, features: int, heads: Heads) -> tuple[Severity, str] | None:
    """How grave, and what the scale is in place of 1 / sqrt(features)."""
    count = len(heads.sharpest)
    if features < 4 or _same(scale, features**-0.5):
        return None
    if _same(scale, features**0.5):
        return "warning", f"multiplied by sqrt(d) = {math.sqrt(features):.3g}, not divided by it"
    if _same(scale, 1 / features):
        return "note", f"divided by d = {features}, not by its square root; muP (Yang et al. 2022) means to"
    if count > 1 and _same(scale, (count * features) ** -0.5):
        return "warning", f"divided by the square root of the model's width {count * features}, not of the head's"
    if scale > 0.9 and float(heads.sharpest.mean()) > _SATURATED:
        return "warning", "not divided by sqrt(d), and softmax is saturated"
    return None


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-3)


def _finding(heads: Heads, scale: float, features: int, severity: Severity, what: str) -> Finding:
    return Finding(
        ID,
        severity,
        f"{heads.name or 'the model'}: scores are {what}",
        "A dot product of d numbers of size 1 has the size sqrt(d). Divided by that, scores have the size 1, where "
        "softmax can choose and still learns. Larger scores make it a choice of one key that no longer learns; smaller "
        "ones make it a mean that does not see differences (Vaswani et al. 2017, section 3.2.1).",
        {
            "scale": scale,
            "1 / sqrt(d)": features**-0.5,
            "d, features of a head": features,
            "heads": len(heads.sharpest),
            "mean of the largest weight": float(heads.sharpest.mean()),
            "entropy of the weights, of the largest possible": float(heads.evenness.mean()),
        },
        "scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), with d of one head; "
        "F.scaled_dot_product_attention does so by itself when no scale is given.",
        heads.name,
    )
