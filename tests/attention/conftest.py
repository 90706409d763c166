import jaxtyping
import pytest


@pytest.fixture
def as_installed():
    """Shape annotations are not checked, as for anybody who installed the package: our own messages must do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
