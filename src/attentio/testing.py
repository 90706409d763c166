"""For the tests of one's own models.

from attentio.testing import assert_healthy

def test_my_model_has_no_silent_mistake():
    assert_healthy(MyModel(), {"input_ids": ids, "attention_mask": mask}, causal=True)

Under pytest, `assert_healthy` is a fixture as well.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def assert_healthy(
    model: "nn.Module | Callable[..., Any]",
    inputs: Any,
    *,
    ignore: Collection[str] = (),
    require: Collection[str] = (),
    **options: Any,
) -> None:
    """Let the doctor examine the model; warnings and notes pass.

    Args:
        model: any module, or a function.
        inputs: what it is called with: a tensor, a tuple of positional or a dict of keyword arguments.
        ignore: ids of checks whose findings are known and accepted.
        require: ids of checks that must have been made; without this, one that cannot be made on these inputs passes.
        options: those of `attentio.diagnose`, such as causal=True.

    Raises:
        AssertionError: an error was found, or a required check could not be made; the text is the diagnosis.
        ValueError: as `attentio.diagnose`; `ignore` or `require` holds something that is no check.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    from attentio.doctor.catalogue import CHECKS
    from attentio.doctor.examination import diagnose

    for argument, ids in (("ignore", ignore), ("require", require)):
        unknown = set(ids) - {check.ID for check in CHECKS}
        if unknown:
            raise ValueError(f"{argument} must hold ids of checks, got {sorted(unknown)}")
    diagnosis = diagnose(model, inputs, **options)
    diagnosis.findings = [finding for finding in diagnosis.findings if finding.check not in ignore]
    if not diagnosis.healthy:
        raise AssertionError(f"the doctor found mistakes\n{diagnosis}")
    missing = [f"{name}: {diagnosis.skipped[name]}" for name in require if name in diagnosis.skipped]
    if missing:
        raise AssertionError(f"the doctor could not make what is required: {'; '.join(missing)}\n{diagnosis}")
