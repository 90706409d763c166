"""Shape annotations are checked at run time in every test; random inputs are fresh, their seed printed."""

import os
import secrets
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import jaxtyping

# Of the files that annotate shapes alone: to check every call of the package took a sixth of the tests' time.
PACKAGE = Path(str(find_spec("attentio").origin)).parent
WITH_SHAPES = [path for path in PACKAGE.rglob("*.py") if "jaxtyping" in path.read_text(encoding="utf-8")]
NAMES = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in WITH_SHAPES]
jaxtyping.install_import_hook(NAMES, "beartype.beartype")
os.environ["LANGUAGE"] = "en"  # of the commands, whatever the machine's is

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# What takes long on a busy machine is no mistake.
settings.register_profile("attentio", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("attentio")


pytest_plugins = ["toy_runs", "warm_start"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fresh-seeds", action="store_true", help="train with fresh seeds, not with the pinned ones")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest first, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: item.path.parent.name != "system" and item.path.name != "test_documentation.py")


@pytest.fixture(scope="session")
def training_seed(pytestconfig: pytest.Config) -> int:
    """The seed of what is trained: pinned, so that a bound on what is learnt can be tight; printed if it is fresh."""
    if not pytestconfig.getoption("--fresh-seeds"):
        return 1
    drawn = secrets.randbelow(2**31)
    print(f"training seed = {drawn}")
    return drawn


@pytest.fixture
def as_installed() -> Iterator[None]:
    """Shape annotations are not checked, as for anybody who installed the package: our own messages must do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def seed() -> int:
    """A fresh seed for this test, set in torch; printed, so that a failure can be run again."""
    drawn = secrets.randbelow(2**31)
    print(f"seed = {drawn}")
    torch.manual_seed(drawn)
    return drawn
