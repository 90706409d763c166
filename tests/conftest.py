"""Shape annotations are checked at run time in every test; random inputs are fresh, their seed printed."""

import secrets

from jaxtyping import install_import_hook

install_import_hook("attentio", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture
def seed() -> int:
    """A fresh seed for this test, set in torch; printed, so that a failure can be run again."""
    drawn = secrets.randbelow(2**31)
    print(f"seed = {drawn}")
    torch.manual_seed(drawn)
    return drawn
