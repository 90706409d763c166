"""What the attentions of a model make weights with, from its configuration."""

from attentio.attention.entmax import Entmax, NormalizeFunction, Sparsemax
from attentio.config.schema import ModelConfig
from attentio.models.own import OwnCode


def normalization(config: ModelConfig, own: OwnCode) -> NormalizeFunction | None:
    """None for softmax."""
    if config.normalize == "softmax":
        return None
    if config.normalize == "sparsemax":
        return Sparsemax()
    return Entmax() if config.normalize == "entmax" else own.made(config.normalize)
