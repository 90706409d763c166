"""Shape annotations are checked at run time in every test; random inputs are fresh, their seed printed."""

import secrets

from jaxtyping import install_import_hook

install_import_hook("attentio", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# What takes long on a busy machine is no mistake.
settings.register_profile("attentio", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("attentio")


@pytest.fixture
def seed() -> int:
    """A fresh seed for this test, set in torch; printed, so that a failure can be run again."""
    drawn = secrets.randbelow(2**31)
    print(f"seed = {drawn}")
    torch.manual_seed(drawn)
    return drawn
