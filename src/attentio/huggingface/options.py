"""What a configuration says and an architecture can hold, ours and theirs."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from attentio.errors import AttentioError
from attentio.layers.feed_forward import Activation
from attentio.layers.positions import LearnedPositions, SinusoidalPositions
from attentio.layers.token_embedding import TokenEmbedding
from attentio.layers.transformer_block import TransformerBlock
from attentio.layers.transformer_stack import TransformerStack

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "relu2": "relu-squared",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "silu": "silu",
    "swish": "silu",
}
"""By their names."""

ACTIVATION_NAMES = {
    "relu": "relu",
    "relu-squared": "relu2",
    "gelu": "gelu",
    "gelu-tanh": "gelu_new",
    "silu": "silu",
}
"""Theirs by ours."""


class Shape(NamedTuple):
    """The numbers of a stack of blocks that a configuration holds. dropout: of the sub-layers and the embedding."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    activation: Activation
    dropout: float


def shape_of(stack: TransformerStack) -> Shape:
    """Of a stack whose blocks are all alike."""
    block = stack.blocks[0]
    assert isinstance(block, TransformerBlock)
    feed_forward = block.feed_forward
    return Shape(
        width=feed_forward.up.in_features,
        layers=len(stack.blocks),
        heads=block.self_attention.heads,
        feed_forward=feed_forward.up.out_features,
        activation=feed_forward.activation,
        dropout=block.dropout.p,
    )


def check_ours(
    architecture: str, embedding: TokenEmbedding, stack: TransformerStack, *, positions: str, pre_norm: bool
) -> None:
    """Whether theirs can hold our stack.

    Raises:
        AttentioError: an option that theirs does not have, and what would go.
    """
    block = stack.blocks[0]
    assert isinstance(block, TransformerBlock)
    if block.self_attention.normalize is not None:
        raise AttentioError(f"{architecture} cannot hold model.normalize, only softmax; train with that to export it")
    found = {
        "positions": _positions(embedding, stack),
        "norm": "rms" if isinstance(block.feed_forward_norm, nn.RMSNorm) else "layer",
        "pre_norm": block.pre_norm,
        "embedding_norm": block.pre_norm and embedding.norm is not None,
        "key_value_heads": block.self_attention.key_value_heads,
        "window": stack.window,
        "qk_norm": block.self_attention.qk_norm is not None,
        "activation": block.feed_forward.activation,
    }
    holds: dict[str, tuple[Any, ...]] = {
        "positions": (positions,),
        "norm": ("layer",),
        "pre_norm": (pre_norm,),
        "embedding_norm": (False,),
        "key_value_heads": (block.self_attention.heads,),
        "window": (None,),
        "qk_norm": (False,),
        "activation": tuple(ACTIVATION_NAMES),
    }
    for option, value in found.items():
        if value not in holds[option]:
            allowed = " or ".join(_yaml(each) for each in holds[option])
            raise AttentioError(
                f"{architecture} cannot hold model.transformer.{option}: {_yaml(value)}, only {allowed}; "
                f"train with that to export it"
            )


def _positions(embedding: TokenEmbedding, stack: TransformerStack) -> str:
    if stack.rotary is not None:
        return "rotary"
    if stack.alibi:
        return "alibi"
    if stack.relative is not None:
        return "t5"
    kinds = {SinusoidalPositions: "sinusoidal", LearnedPositions: "learned"}
    return kinds.get(type(embedding.positions), "none")


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def eps_of(model: nn.Module) -> set[float]:
    """What the norms of the model add to the variance."""
    return {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)}


class Theirs:
    """The content of a `config.json`. Raises AttentioError where it is not what an architecture needs."""

    def __init__(self, content: Mapping[str, Any], source: str) -> None:
        self.content, self.source = content, source

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number, at least 1; `default` where the key is missing or null."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise AttentioError(f"{self.source}: {key} must be a whole number of at least 1, got {value!r}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number, not negative."""
        value = self._value(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise AttentioError(f"{self.source}: {key} must be a number of at least 0, got {value!r}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise AttentioError(f"{self.source}: {key} must be true or false, got {value!r}")
        return value

    def activation(self, key: str) -> Activation:
        """An activation that `layers.feed_forward` has."""
        value = self._value(key, None)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise AttentioError(f"{self.source}: {key} is {value!r}; what can be read is {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def must_be(self, **values: Any) -> None:
        """Keys that may be missing, but must have these values where they are there."""
        for key, value in values.items():
            found = self.content.get(key, value)
            if found != value:
                raise AttentioError(f"{self.source}: {key} is {found!r}; only {value!r} can be read")

    def _value(self, key: str, default: Any) -> Any:
        value = self.content.get(key)
        if value is None and default is None:
            raise AttentioError(f"{self.source} has no {key}; give the config.json that transformers wrote")
        return default if value is None else value
