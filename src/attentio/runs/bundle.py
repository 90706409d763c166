"""A run in one small file: its configuration, its tokenizers, one checkpoint's weights in half precision, and a card.

Training resumes run directories alone; with --init, it can begin with a bundle's weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from attentio import system
from attentio.config.read import config_in, to_yaml
from attentio.config.schema import Config
from attentio.errors import AttentioError
from attentio.runs.archive import CARD, CONFIG, TOKENIZERS, WEIGHTS, pack, unpack
from attentio.runs.build import Tokenizers


class Bundle(NamedTuple):
    """What was read of one. entries: its files, by name. tensors: the weights, in float32."""

    config: Config
    entries: Mapping[str, bytes]
    tensors: dict[str, Tensor]


def read(path: Path) -> Bundle:
    """Read a bundle; AttentioError for a file that is none, or is damaged or altered."""
    entries = unpack(path)
    config = _config(entries, path)
    try:
        tensors = load(entries[WEIGHTS])
    except SafetensorError as error:
        raise AttentioError(f"{path / WEIGHTS} cannot be read ({error}); copy it again") from None
    if strange := [name for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        raise AttentioError(f"{path / WEIGHTS}: {strange[0][:60]!r} holds no fractions; copy it again")
    return Bundle(config, entries, {name: tensor.float() for name, tensor in tensors.items()})


def read_config(path: Path) -> Config:
    """The configuration alone; errors as of `read`."""
    return _config(unpack(path), path)


def write(path: Path, config: Config, tokenizers: Tokenizers[Any], model: nn.Module, card: Mapping[str, Any]) -> None:
    """Write a bundle. card: what people are told of the model.

    Raises AttentioError for weights that half precision cannot hold.
    """
    halves = {name: parameter.detach().half().contiguous() for name, parameter in model.named_parameters()}
    if large := [name for name, tensor in halves.items() if not tensor.isfinite().all()]:
        raise AttentioError(f"the weights {large[0]} are beyond 65,504, the most that half precision holds")
    entries = {CONFIG: to_yaml(config).encode(), CARD: _json(card), TOKENIZERS[0]: tokenizers.source.to_json().encode()}
    if tokenizers.target is not tokenizers.source.plain:
        entries[TOKENIZERS[1]] = tokenizers.target.to_json().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    system.replace_bytes(path, pack({**entries, WEIGHTS: save(halves)}))


def fits(tensors: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether the tensors are exactly the model's parameters, shared ones once."""
    return {name: tensor.shape for name, tensor in tensors.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }


def _config(entries: Mapping[str, bytes], path: Path) -> Config:
    return config_in(_text(entries[CONFIG], path / CONFIG), path / CONFIG)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _text(content: bytes, origin: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise AttentioError(f"{origin}: invalid UTF-8 at byte {error.start + 1}; copy it again") from None
