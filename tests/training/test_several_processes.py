"""Training on several devices: Fabric's wrapper exchanges the gradients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from tiny_training import RECIPE, TinyRun

THREE_UPDATES = replace(RECIPE, max_steps=3, validate_every=3, average=0.0)


def train(fabric: Fabric, folder: Path, seed: int) -> None:
    """Every process reads pairs of its own, two batches an update."""
    torch.set_num_threads(1)
    order = [np.arange(fabric.global_rank, 41, 4), np.arange(fabric.global_rank + 2, 41, 4)]
    TinyRun(folder / str(fabric.global_rank), THREE_UPDATES, seed=seed, order=order, fabric=fabric).trainer.run(
        record=lambda row: None, should_stop=lambda: False
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "step-000003" / "model.safetensors")


def test_processes_with_data_of_their_own_keep_the_same_weights(tmp_path: Path, seed: int) -> None:
    Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn").launch(train, tmp_path / "both", seed)
    train(Fabric(accelerator="cpu", devices=1), tmp_path / "alone", seed)
    first, second, alone = (weights(tmp_path / name) for name in ("both/0", "both/1", "alone/0"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], alone[name]) for name in first)
