"""What tests ask of an examination of a model of the zoo."""

import attentio as at
from attentio.doctor.diagnosis import Diagnosis, Finding


def diagnosed(case: tuple) -> Diagnosis:
    """Of a case: a model, its inputs, and options of `diagnose` if there are any."""
    model, inputs, *options = case
    return at.diagnose(model, inputs, **dict(*options))


def errors(diagnosis: Diagnosis) -> list[str]:
    """The checks that found an error."""
    return [finding.check for finding in diagnosis.findings if finding.severity == "error"]


def found(diagnosis: Diagnosis, check: str) -> list[Finding]:
    """What a check found, the gravest first."""
    return [finding for finding in diagnosis.findings if finding.check == check]


def assert_only_found(case: tuple, check: str) -> Finding:
    """The check finds the mistake, with all that a person needs; and no other check finds an error."""
    diagnosis = diagnosed(case)
    assert found(diagnosis, check), str(diagnosis)
    assert set(errors(diagnosis)) <= {check}, str(diagnosis)
    for finding in diagnosis.findings:
        assert finding.explanation
        assert finding.cure
        assert finding.evidence
    return found(diagnosis, check)[0]


def assert_only_error(case: tuple, check: str) -> None:
    """The same, and the mistake is an error."""
    assert assert_only_found(case, check).severity == "error"
