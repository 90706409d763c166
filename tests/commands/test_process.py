"""The command settles how threads wait before torch is loaded, and leaves the user's own setting alone."""

import os
import subprocess
import sys

PROBE = """
import os, sys
from attentio.commands.process import settle
settle()
print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
"""


def said(**environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_threads_are_told_to_spin_for_a_moment_only_before_torch_is_loaded() -> None:
    spins, torch_was_loaded = said().split()
    assert 0 < int(spins) < 300_000
    assert torch_was_loaded == "False"


def test_a_setting_of_the_user_stays() -> None:
    assert said(GOMP_SPINCOUNT="7").split()[0] == "7"
