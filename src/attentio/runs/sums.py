"""What a model's weights go with: the tokenizers and the configuration that they were trained with, by their sums.

Every checkpoint holds them, so that neither is changed unnoticed: with two ids swapped a model says other words.
Checkpoints of before they were written open as well, unchecked.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attentio.config.read import leaves
from attentio.config.schema import Config
from attentio.errors import AttentioError
from attentio.files import LARGEST, check_regular
from attentio.training.checkpoint import Checkpoint

DEFINES_THE_MODEL = ("model.", "text.")
"""Sections of the configuration; the others may be changed after training."""


TEACHERS = "teachers_sha256"
"""Of the weights of each teacher, in the facts of a checkpoint."""


def weights_sum(model: nn.Module) -> str:
    """The SHA-256 of all weights, in their order."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sums(folder: Path, config: Config) -> dict[str, Any]:
    """The facts of a run that `check_sums` holds it to."""
    paths = sorted((folder / "tokenizer").glob("*.json"))
    for path in paths:  # also one that no tokenizer is read from
        check_regular(path, most=LARGEST)
    return {
        "tokenizer_sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        "config": {key: value for key, value in leaves(asdict(config)) if key.startswith(DEFINES_THE_MODEL)},
    }


def check_sums(folder: Path, config: Config, saved: Checkpoint) -> None:
    """AttentioError where a tokenizer or the configuration is not the one that the checkpoint was trained with."""
    now = sums(folder, config)
    for name, digest in saved.facts.get("tokenizer_sha256", {}).items():
        if now["tokenizer_sha256"].get(name) != digest:
            raise AttentioError(
                f"{folder / 'tokenizer' / name} has been altered since training; copy it again, or train again"
            )
    for key, value in saved.facts.get("config", {}).items():
        # A key that is not there any more is none that the model could have been made with.
        if key in now["config"] and json.loads(json.dumps(now["config"][key])) != value:
            raise AttentioError(
                f"{saved.path} does not fit {folder / 'config.yaml'}: one of them has been changed since training; "
                f"{key} was {json.dumps(value)} and is {json.dumps(now['config'][key])}; set it back"
            )


def check_teachers(config: Config, now: Mapping[str, Any], saved: Checkpoint) -> None:
    """AttentioError where a teacher has other weights than when training stopped. now: the facts of this training."""
    before = saved.facts.get(TEACHERS)
    if before and now[TEACHERS] and before != now[TEACHERS]:
        raise AttentioError(
            f"teacher: {config.teacher} has other weights than when {saved.path} was saved; give it back as it was, or "
            f"choose another --run to begin anew"
        )
