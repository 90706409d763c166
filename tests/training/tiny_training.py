"""A training run so small that it can be done over and over."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from attentio.config.schema import ModelConfig, Recipe
from attentio.data.batches import EncodedPairs, PairBatch, epoch_batches
from attentio.models.presets import luong, recurrent_encoder
from attentio.text.tokenizer import PAD
from attentio.training.checkpoint import Checkpoints
from attentio.training.loop import Trainer, Validation
from attentio.training.records import Records

SOURCE_VOCABULARY, TARGET_VOCABULARY = 13, 11
RECIPE = Recipe(
    max_steps=17,
    learning_rate=0.01,
    warmup=3,
    decay="cosine",
    weight_decay=0.01,
    label_smoothing=0.1,
    clip=1.0,
    accumulate=2,
    average=0.9,
    validate_every=5,
    checkpoint_every=4,
    log_every=3,
    patience=0,
)


def pairs(count: int = 41) -> EncodedPairs:
    """Random pairs of 1 to 6 tokens, the same ones every time."""
    draw = np.random.default_rng(0)

    def side(vocabulary: int) -> list[list[int]]:
        return [draw.integers(4, vocabulary, size=draw.integers(1, 7)).tolist() for _ in range(count)]

    return EncodedPairs(sources=side(SOURCE_VOCABULARY), targets=side(TARGET_VOCABULARY))


def tiny_model(*, dropout: float = 0.3) -> nn.Module:
    config = ModelConfig(embedding=5, hidden=7, encoder_hidden=3, dropout=dropout, input_feeding=False)
    return luong(config, recurrent_encoder(config, vocabulary=SOURCE_VOCABULARY), vocabulary=TARGET_VOCABULARY)


@torch.no_grad()
def loss_per_token(model: Any, batch: PairBatch) -> float:
    """Teacher-forced, in whatever mode the model is."""
    features = model.features(batch.source, batch.source_lengths, batch.target_input)
    log_probs = model.output(features).log_softmax(-1)
    chosen = log_probs.gather(2, batch.target_output.unsqueeze(2)).squeeze(2)
    return -float(chosen[batch.target_output != PAD].mean())


class TinyRun:
    """A trainer over `pairs()` with its folder. `order`: the batches of every epoch; drawn by epoch by default."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe = RECIPE,
        *,
        seed: int,
        dropout: float = 0.3,
        order: Sequence[np.ndarray] | None = None,
        precision: Literal["32-true", "bf16-mixed"] = "32-true",
        fabric: Fabric | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        self.folder, self.seed, self.data, self.order = folder, seed, pairs(), order
        self.rows: list[dict[str, float]] = []
        self.model = tiny_model(dropout=dropout)
        self.trainer = Trainer(
            self.model,
            recipe,
            Checkpoints(folder),
            fabric=fabric or Fabric(accelerator="cpu", devices=1, precision=precision),
            corpus=self,
            validate=self.validate,
        )

    def load(self, indices: np.ndarray, epoch: int) -> PairBatch:
        return self.data.batch(indices)

    def epoch_batches(self, epoch: int) -> Sequence[np.ndarray]:
        if self.order is not None:
            return self.order
        lengths = self.data.source_lengths, self.data.target_lengths
        return epoch_batches(*lengths, batch_tokens=40, seed=7, epoch=epoch)

    def validate(self, model: nn.Module) -> Validation:
        loss = loss_per_token(model, self.data.batch(np.arange(19)))
        return Validation(-loss, {"dev_loss": loss})

    def train(self, *, stop_at: int | None = None) -> None:
        """To the end, or to a step at which it is asked to stop."""
        progress = self.trainer.progress
        with Records(self.folder, ["dev_loss"], after=progress.step) as records:

            def record(row: dict[str, float]) -> None:
                records.write(row)
                self.rows.append(row)

            self.trainer.run(record, should_stop=lambda: self.trainer.progress.step == stop_at)


def outcome(folder: Path) -> dict[str, Any]:
    """Everything that two equal runs have in common: all tensors, where they stand, the records but for times."""
    found: dict[str, Any] = {}
    for which in ("best", "last"):
        loaded = Checkpoints(folder).load(which, "model.safetensors", "training.safetensors")
        progress = {key: value for key, value in loaded.facts["progress"].items() if "seconds" not in key}
        found[which] = (loaded.path.name, progress, {key: _bits(value) for key, value in loaded.tensors.items()})
    with (folder / "metrics.csv").open(newline="") as file:
        found["rows"] = [
            {key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(file)
        ]
    return found


def _bits(tensors: dict[str, Tensor]) -> dict[str, tuple[str, bytes]]:
    return {name: (str(tensor.dtype), tensor.numpy().tobytes()) for name, tensor in tensors.items()}
