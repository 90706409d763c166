"""The checks, in the order in which they are made.

A check is a module that begins with what goes wrong and how it is seen, and has

    ID      stable name, "future-leak"
    TITLE   one line: what is checked
    NEEDS   facts that the patient must have (keys of `patient.LACKING`), else the check is skipped
    def check(patient) -> Iterator[Finding], or raises Skip(why)
    EXPLAINS (optional)   ids of later checks whose findings would only be consequences of an error found by this one;
                          they are skipped then. So causes stand before their consequences.
"""

from collections.abc import Iterable
from typing import Protocol, cast

from attentio.inspection.doctor import dropout_in_eval, future_leak
from attentio.inspection.doctor.diagnosis import Finding
from attentio.inspection.doctor.patient import Patient


class Check(Protocol):
    """What `diagnose` sees of a check's module."""

    ID: str
    TITLE: str
    NEEDS: tuple[str, ...]

    def check(self, patient: Patient) -> Iterable[Finding]:
        """Yield what is wrong."""
        ...


CHECKS = cast(
    tuple[Check, ...],
    (
        dropout_in_eval,
        future_leak,
    ),
)
