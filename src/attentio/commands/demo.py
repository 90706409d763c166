"""attentio demo [--run DIR]: the main job from beginning to end, each step a command that is shown and run."""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TAKES_OVERRIDES = True

WORDS = "attentio\\nkimchi\\nchatbot\\nhangul\\ntransformer\\n"
"""As a shell's printf takes them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "--key.sub value is passed to the training, for instance --training.max_steps 500 for a quick look."
    parser.add_argument("--run", type=Path, default=Path("runs/cmudict"), metavar="DIR", help="where to write")


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    folder = str(arguments.run)
    page = str(arguments.run / "pictures" / "attentio.html")
    steps = [
        ["train", "cmudict", "--run", folder, *overrides],
        ["evaluate", folder],
        ["translate", folder],
        ["look", folder, "attentio"],
        ["look", folder, "pronunciation"],
        ["look", folder, "attentio", "--out", page],
    ]
    for step in steps:
        step += [] if arguments.device == "auto" else ["--device", arguments.device]
        reads = step[0] == "translate"
        given = f"printf '{WORDS}' | " if reads else ""
        print(f"\n$ {given}{shlex.join(['attentio', *step])}", flush=True)
        words = WORDS.replace("\\n", "\n") if reads else None
        done = subprocess.run([sys.executable, "-m", "attentio", *step], input=words, encoding="utf-8", check=False)
        if done.returncode:
            return done.returncode
    return 0
