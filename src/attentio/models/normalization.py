"""What the attentions of a model make weights with, from its configuration."""

from attentio.attention.entmax import Entmax, NormalizeFunction, Sparsemax
from attentio.config.schema import ModelConfig


def normalization(config: ModelConfig) -> NormalizeFunction | None:
    """None for softmax."""
    if config.normalize == "softmax":
        return None
    return Sparsemax() if config.normalize == "sparsemax" else Entmax()
