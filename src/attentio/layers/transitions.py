"""Where a hard attention goes: the probability of each source position given where it was, in log space.

FAR    stands for log 0: exp(FAR) is exactly 0, and what is computed from it stays finite, gradients included
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.layers.linear import Linear
from attentio.layers.luong import GeneralScore

FAR = -1e30


def at_the_first(like: Float[Tensor, "batch source"]) -> Float[Tensor, "batch source"]:
    """Before the first token the attention is at the first source position, for certain."""
    first = torch.full_like(like, FAR)
    first[:, 0] = 0.0
    return first


class ZerothOrder(nn.Module):
    """The score alone decides, not where the attention was; with `monotonic`, among the positions that are not behind.

        log p(a_i = k | a_{i-1} = j) = e_ik - log sum_{k' >= j} exp(e_ik')    for k >= j,    e_ik = s_i . T h_k

    Without `monotonic` the sum is over all k'.

    References: Wu, Shapiro and Cotterell 2018; monotonic, Wu and Cotterell 2019.
    """

    def __init__(self, *, query_features: int, memory_features: int, monotonic: bool) -> None:
        super().__init__()
        self.score = GeneralScore(query_features=query_features, memory_features=memory_features)
        self.monotonic = monotonic

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source d"]:
        """What does not change from step to step."""
        return self.score.keys(memory)

    def tables(
        self,
        states: Float[Tensor, "batch steps hidden"],
        keys: Float[Tensor, "batch source d"],
        lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch steps source"]:
        """What `prior` needs of each step: the scores, as log-probabilities over all positions."""
        padding = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]
        scores = precise(states @ keys.mT).masked_fill(padding[:, None], FAR)
        return scores.log_softmax(-1).clamp(min=FAR)

    def prior(
        self, before: Float[Tensor, "*batch source"], table: Float[Tensor, "*batch source"]
    ) -> Float[Tensor, "*batch source"]:
        """log p(a_i | y_<i), of log p(a_{i-1} | y_<i): it is summed over where the attention may have come from."""
        if not self.monotonic:
            return table
        ahead = table.flip(-1).logcumsumexp(-1).flip(-1)
        return table + (before - ahead).logcumsumexp(-1)


class FirstOrder(nn.Module):
    """The position it was at decides, by what stands there, how far the attention jumps: at most `reach` positions.

        log p(a_i = j + d | a_{i-1} = j) = log softmax_d(U [s_i; h_j])    for -reach <= d <= reach

    With `monotonic` d >= 0. Jumps out of the source are not possible.

    Reference: Wu and Cotterell 2019; there the longest jump is 5.
    """

    def __init__(self, *, query_features: int, memory_features: int, monotonic: bool, reach: int) -> None:
        super().__init__()
        self.jumps = range(0 if monotonic else -reach, reach + 1)
        self.query = Linear(query_features, len(self.jumps))
        self.key = Linear(memory_features, len(self.jumps), bias=False)

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source jumps"]:
        """What does not change from step to step."""
        return self.key(memory)

    def tables(
        self,
        states: Float[Tensor, "batch steps hidden"],
        keys: Float[Tensor, "batch source jumps"],
        lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch steps source jumps"]:
        """What `prior` needs of each step: at [k, d] the log-probability of the jump d that arrives at k."""
        here = torch.arange(keys.shape[1], device=keys.device)
        there = here[:, None] + torch.tensor(self.jumps, device=keys.device)
        inside = (there >= 0) & (there < lengths[:, None, None])
        scores = precise(self.query(states)[:, :, None] + keys[:, None]).masked_fill(~inside[:, None], FAR)
        jumps = scores.log_softmax(-1)
        origin, exists = self._origins(keys.shape[1], keys.device)
        arriving = jumps.take_along_dim(origin[None, None], dim=2)
        return arriving.masked_fill(~exists, FAR).clamp(min=FAR)

    def prior(
        self, before: Float[Tensor, "*batch source"], table: Float[Tensor, "*batch source jumps"]
    ) -> Float[Tensor, "*batch source"]:
        """log p(a_i | y_<i), of log p(a_{i-1} | y_<i): it is summed over where the attention may have come from."""
        origin, _ = self._origins(before.shape[-1], before.device)
        return (before[..., origin] + table).logsumexp(-1).clamp(min=FAR)

    def _origins(self, source: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """From where jump d arrives at k, and whether there is such a position."""
        origin = torch.arange(source, device=device)[:, None] - torch.tensor(self.jumps, device=device)
        return origin.clamp(0, source - 1), (origin >= 0) & (origin < source)


Transitions = ZerothOrder | FirstOrder


def precise(numbers: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """In 32 bits at least: under autocast products come with fewer."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
