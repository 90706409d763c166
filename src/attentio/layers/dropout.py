"""Dropout with cheap random numbers."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Each number is set to 0 with probability p, and the others divided by 1 - p; nothing happens in eval mode.

    On a CPU torch spends most of dropout's time on drawing a float for each number. Here 16 random bits decide, so p
    is rounded to a multiple of 2^-16; what is kept is divided by the probability of being kept, as the dtype has it.

    Reference: Srivastava et al. 2014, section 10 (scaled in training, "inverted").
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must be a probability, at least 0 and below 1, got {p}")
        self.p = p

    def forward(self, inputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The inputs, some of them set to 0."""
        dropped = min(round(self.p * _LEVELS), _LEVELS - 1)
        if not self.training or dropped == 0:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.p)
        words = torch.empty(-(-inputs.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.int16)[: inputs.numel()] >= dropped - _LEVELS // 2
        return inputs * kept.view(inputs.shape).to(inputs.dtype).mul_(_LEVELS / (_LEVELS - dropped))
