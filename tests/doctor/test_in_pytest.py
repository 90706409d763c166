"""assert_healthy, imported and as the fixture that pytest finds by itself."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from attentio.testing import assert_healthy

TESTS = """
import sys

def test_nothing_heavy_is_imported_at_the_start():
    assert "attentio.pytest_plugin" in sys.modules
    assert "torch" not in sys.modules

def test_leaking(assert_healthy):
    import torch
    from torch import nn
    assert_healthy(nn.GRU(7, 5, batch_first=True), torch.randn(3, 11, 7), causal=True)
    assert_healthy(nn.GRU(7, 5, batch_first=True, bidirectional=True), torch.randn(3, 11, 7), causal=True)
"""


def test_the_fixture_is_there_and_light(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "1 failed, 1 passed" in said.stdout, said.stdout + said.stderr
    assert "AssertionError: the doctor found mistakes" in said.stdout
    assert "NOT healthy: 1 error" in said.stdout
    assert "ERROR future-leak" in said.stdout
    assert "testing.py" not in said.stdout, "the line of the test is shown, not ours"


def test_options_and_accepted_findings_are_taken(seed: int) -> None:
    model, inputs = nn.GRU(7, 5, batch_first=True, bidirectional=True), torch.randn(3, 11, 7)
    assert_healthy(model, inputs)
    with pytest.raises(AssertionError, match="ERROR future-leak"):
        assert_healthy(model, inputs, causal=True)
    assert_healthy(model, inputs, causal=True, ignore=["future-leak"])


def test_what_is_to_be_ignored_must_be_a_check() -> None:
    with pytest.raises(ValueError, match=r"ignore must hold ids of checks, got \['leak'\]"):
        assert_healthy(nn.Identity(), torch.randn(2, 3, 5), ignore=["leak"])
    with pytest.raises(ValueError, match=r"require must hold ids of checks, got \['leak'\]"):
        assert_healthy(nn.Identity(), torch.randn(2, 3, 5), require=["leak"])


def test_a_required_check_that_could_not_be_made_fails(seed: int) -> None:
    model, inputs = nn.GRU(7, 5, batch_first=True), torch.randn(3, 11, 7)
    assert_healthy(model, inputs, require=["future-leak", "batch-dependence"])
    with pytest.raises(AssertionError, match="could not make what is required: padding-leak: nothing"):
        assert_healthy(model, inputs, require=["future-leak", "padding-leak"])
    with pytest.raises(AssertionError, match="uniform-heads: no attention"):
        assert_healthy(model, inputs, require=["uniform-heads"])
