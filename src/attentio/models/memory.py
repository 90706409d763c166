"""What an encoder hands to a decoder."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Memory(NamedTuple):
    """The source as an encoder has read it.

    outputs: one vector for each source position, zero at padding.
    lengths: real tokens of each sentence.
    summary: one vector for the whole sentence; a recurrent decoder starts from it.
    copies: where the decoder can copy, the target's id of each source token.
    """

    outputs: Float[Tensor, "batch source memory"]
    lengths: Int[Tensor, "batch"]
    summary: Float[Tensor, "batch summary"]
    copies: Int[Tensor, "batch source"] | None = None
