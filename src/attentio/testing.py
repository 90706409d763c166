"""For the tests of one's own models.

from attentio.testing import assert_healthy

def test_my_model_has_no_silent_mistake():
    assert_healthy(MyModel(), {"input_ids": ids, "attention_mask": mask}, causal=True)

Under pytest, `assert_healthy` is a fixture as well.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def assert_healthy(model: "nn.Module", inputs: Any, *, ignore: Collection[str] = (), **options: Any) -> None:
    """Let the doctor examine the model; warnings and notes pass.

    Args:
        model: any module.
        inputs: what it is called with: a tensor, a tuple of positional or a dict of keyword arguments.
        ignore: ids of checks whose findings are known and accepted.
        options: those of `attentio.diagnose`, such as causal=True.

    Raises:
        AssertionError: an error was found; the text is the diagnosis.
        ValueError: as `attentio.diagnose`; `ignore` holds something that is no check.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    from attentio.inspection.doctor.checks import CHECKS
    from attentio.inspection.doctor.examination import diagnose

    unknown = set(ignore) - {check.ID for check in CHECKS}
    if unknown:
        raise ValueError(f"ignore must hold ids of checks, got {sorted(unknown)}")
    diagnosis = diagnose(model, inputs, **options)
    diagnosis.findings = [finding for finding in diagnosis.findings if finding.check not in ignore]
    if not diagnosis.healthy:
        raise AssertionError(f"the doctor found mistakes\n{diagnosis}")
