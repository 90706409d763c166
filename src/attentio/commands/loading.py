"""A run directory read back: its configuration, tokenizers and trained model."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from attentio.commands.build import Model, Tokenizers, build_model
from attentio.commands.config import load_config
from attentio.commands.options import Config, DataConfig, DecodingConfig, ModelConfig, TextConfig
from attentio.errors import AttentioError
from attentio.export import huggingface
from attentio.training.checkpoint import Checkpoints


class Loaded(NamedTuple):
    """What a run directory holds."""

    path: Path
    config: Config
    tokenizers: Tokenizers
    model: Model


def load_directory(path: str | Path, *, checkpoint: str = "best") -> Loaded:
    """Read a run directory, where `checkpoint` is "best" or "last", or a model directory of Hugging Face.

    Raises AttentioError for a directory that is neither, or whose files are missing, truncated or altered.
    """
    path = Path(path)
    if huggingface.is_directory(path):
        return _pretrained(path)
    if not (path / "config.yaml").is_file():
        raise AttentioError(f"{path} is not a run directory: it has no config.yaml; `attentio train` makes one")
    config = load_config(str(path / "config.yaml"))
    tokenizers = Tokenizers.load(path / "tokenizer", config)
    with torch.random.fork_rng(devices=[]):  # the first weights are not kept, so no random number is used up
        model = build_model(config.model, tokenizers, seed=0)
    saved = Checkpoints(path).load(checkpoint, "model.safetensors")
    if not _copy(saved.tensors["model.safetensors"], model):
        raise AttentioError(
            f"{saved.path} does not fit {path / 'config.yaml'}: one of them has been changed since training"
        )
    return Loaded(path, config, tokenizers, model)


def _pretrained(path: Path) -> Loaded:
    """A model from elsewhere, with a configuration that says how to use it and nothing of how it was made."""
    found = huggingface.read(path)
    config = Config(
        name=path.name,
        data=DataConfig(train="", dev=""),
        text=TextConfig(block=found.facts.max_length),
        model=ModelConfig(type=found.kind),
        decoding=DecodingConfig(beam=found.facts.beam),
    )
    # Its tokenizers are used as ours are; they only cannot be trained with.
    tokenizers = Tokenizers(found.tokenizers[0], found.tokenizers[-1])  # type: ignore[arg-type]
    return Loaded(path, config, tokenizers, found.model)


def _copy(tensors: dict[str, Tensor], model: nn.Module) -> bool:
    """Whether the tensors are exactly the model's parameters, shared ones once; then they are copied."""
    parameters = dict(model.named_parameters())
    if {name: tensor.shape for name, tensor in tensors.items()} != {
        name: parameter.shape for name, parameter in parameters.items()
    }:
        return False
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
    return True
