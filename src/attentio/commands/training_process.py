"""A training in a process of its own: its peak memory is its own, and what ends it ends nothing else."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from attentio import system
from attentio.config.read import to_yaml
from attentio.config.schema import Config


def train_apart(config: Config, folder: Path, arguments: argparse.Namespace) -> int:
    """Train as `config` says, or go on with it, in a folder. Returns the exit code of the process.

    arguments: of the command line, of which `device` and `allow_code` are handed on.

    Raises SystemExit once the training has ended where this process was told to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "variant.yaml"
    asked.write_text(to_yaml(config), encoding="utf-8")
    words = ["train", asked, "--run", folder, "--device", arguments.device, *allowed(arguments)]
    with system.noted_signals() as received:
        child = subprocess.Popen([sys.executable, "-m", "attentio", *map(str, words)])
        while child.poll() is None and not received:
            time.sleep(0.05)
        for number in received:
            system.pass_on(number, child)
        code = child.wait()
    if received:
        raise SystemExit(128 + received[0])
    return code if code >= 0 else 128 - code


def allowed(arguments: argparse.Namespace) -> list[str]:
    """The options that let code of the user's own run there too."""
    return [word for file in arguments.allow_code for word in ("--allow-code", file)]
