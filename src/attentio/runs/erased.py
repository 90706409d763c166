"""Erase and see: the source read again with one token at a time replaced, and how much less likely its output is."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attentio.models.encoder_decoder import EncoderDecoder

LONGEST = 48
"""Tokens of a source up to which each is replaced once."""


def losses(
    model: EncoderDecoder,
    source: Int[Tensor, "1 source"],
    read: Int[Tensor, "1 target"],
    said: Sequence[int],
    *,
    unknown: int,
) -> Float[Tensor, "target source"]:
    """What the probability of each token said loses when one token of the source is not known; below 0, what it gains.

    Args:
        read: what the decoder read before each token.
        said: the tokens, made to be said whatever the source.
        unknown: the id that stands in for the token.
    """
    length = source.shape[1]
    without = source.repeat(length, 1).fill_diagonal_(unknown)
    rows = torch.cat([source, without])
    with torch.inference_mode():
        logits = model(rows, torch.full_like(rows[:, 0], length), read.expand(length + 1, -1))
    asked = torch.tensor([said], device=logits.device)[..., None].expand(length + 1, -1, 1)
    chances = logits.float().softmax(-1).gather(-1, asked)[..., 0]
    return (chances[:1] - chances[1:]).T.cpu()
