"""The calibration of a run's confidence, kept beside its evaluation for the commands that use it."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from attentio import system
from attentio.errors import AttentioError
from attentio.evaluation.calibration import Calibration
from attentio.files import read_json
from attentio.runs.sums import weights_sum

CALIBRATION, NAME = "calibration", "calibration.json"
"""The folder in that of evaluations, and the file in it."""


def save_calibration(path: Path, found: Calibration, model: nn.Module, **facts: Any) -> Path:
    """Write the file that `load_calibration` reads. facts: what else is to be known of it."""
    content = {**found._asdict(), **facts, "weights_sha256": weights_sum(model)}
    path.parent.mkdir(parents=True, exist_ok=True)
    system.replace_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def load_calibration(path: Path, model: nn.Module) -> Calibration:
    """The calibration of this model; AttentioError where there is none, a damaged one, or that of other weights."""
    remedy = "`attentio evaluate RUN --calibrate` writes it"
    if not path.is_file():
        raise AttentioError(f"{path}: no calibration is there; {remedy}")
    content = read_json(path)
    try:
        found = Calibration(*(content[name] for name in Calibration._fields))
        fine = 1e-6 <= found.temperature <= 1e6
    except (KeyError, TypeError):
        fine = False
    if not fine:
        raise AttentioError(f"{path}: not a calibration; {remedy}")
    if content.get("weights_sha256") != weights_sum(model):
        raise AttentioError(f"{path}: the calibration of other weights; {remedy}")
    return found
