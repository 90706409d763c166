"""What pytest loads when attentio is installed: the fixture `assert_healthy`. Its imports wait until it runs."""

from collections.abc import Callable

import pytest


@pytest.fixture
def assert_healthy() -> Callable[..., None]:
    """`attentio.testing.assert_healthy`: assert_healthy(model, inputs, ignore=(), **options)."""
    from attentio.testing import assert_healthy

    return assert_healthy
