"""A language model of ours and one of transformers, each trained for the same time on the same text."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import attentio_run
import peers

PROGRAM = Path(__file__).parent / "peer_side" / "language_model_training.py"
CAUTION = 0.98
"""Of the updates that the time should allow; the measured minutes are in the result."""


class Both(NamedTuple):
    """What the two sides came to. run: our run directory."""

    ours: dict
    theirs: dict
    run: Path


def train(
    *,
    preset: str,
    options: Mapping[str, str],
    prepare: Callable[[Path, Path], dict],
    minutes: float,
    python: Path,
    work: Path,
    threads: int,
    together: bool,
) -> Both:
    """Train a preset of ours and the peer's model.

    First ours is trained for a moment to see how many updates the time allows; our schedule is made for so many. The
    peer then gets the time that ours took; where both train at once, the time that was asked for.

    Args:
        options: of `attentio train`.
        prepare: writes the peer's tokens; (our first run directory, the peer's folder) -> its settings.
        together: both at the same time, half of the threads each; else one after the other.
    """
    each = threads // 2 if together else threads
    seconds = attentio_run.seconds_per_update(config=preset, options=options, run=work / "trial", threads=each)
    updates = max(1, int(CAUTION * 60 * minutes / seconds))
    folder = work / "transformers"
    folder.mkdir(parents=True, exist_ok=True)
    settings = prepare(work / "trial" / "run", folder)

    def ours() -> dict:
        # One validation, the last: nothing is chosen by the dev text.
        budget = {f"--training.{key}": str(updates) for key in ("max_steps", "validate_every", "checkpoint_every")}
        return attentio_run.train_fully(config=preset, options={**options, **budget}, run=work / "ours", threads=each)

    def theirs(minutes: float) -> dict:
        settings["training"]["seconds"] = 60 * minutes
        (folder / "settings.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        command = [python, PROGRAM, folder / "settings.json", folder / "tokens.safetensors", folder / "result.json"]
        peers.launch(command, threads=each, log=folder / "output.txt")
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result | {"settings": settings, "versions": peers.versions(python, ("transformers", "torch"))}

    if not together:
        mine = ours()
        return Both(mine, theirs(mine["minutes"]), work / "ours" / "run")
    with ThreadPoolExecutor() as pool:
        training = pool.submit(ours)
        other = theirs(minutes)
    return Both(training.result(), other, work / "ours" / "run")
