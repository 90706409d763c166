"""What a decoder says where it looks: a distribution over the vocabulary for each source position."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from attentio.layers.linear import Linear
from attentio.layers.transitions import precise

NUMBERS_AT_A_TIME = 2**22
"""Features and logits that exist at one time: enough for an efficient product, few enough for any memory."""


class Looking(NamedTuple):
    """Decoder states and the source positions that they look at, in the space where both are added.

    sentence: whose keys each row looks at.
    """

    queries: Float[Tensor, "rows features"]
    keys: Float[Tensor, "sentences source features"]
    sentence: Int[Tensor, "rows"]

    @classmethod
    def of_steps(
        cls, queries: Float[Tensor, "sentences steps features"], keys: Float[Tensor, "sentences source features"]
    ) -> "Looking":
        """Every step of each sentence looks at the sentence's own keys."""
        sentence = torch.arange(len(queries), device=queries.device).repeat_interleave(queries.shape[1])
        return cls(queries.flatten(0, 1), keys, sentence)

    def features(self) -> Float[Tensor, "rows source features"]:
        """tanh(S [s_i; h_j]), whose columns of S have been multiplied already."""
        return (self.queries[:, None] + self.keys[self.sentence]).tanh()


class Mixture(NamedTuple):
    """log p(y) for every y, wherever the decoder looks, and the normaliser of each source position's distribution."""

    log_probs: Float[Tensor, "rows vocab"]
    normalisers: Float[Tensor, "rows source"]


def emission(
    looking: Looking, output: Linear, said: Int[Tensor, "rows"], normalisers: Float[Tensor, "rows source"] | None = None
) -> Float[Tensor, "rows source"]:
    """log p(said | a = j) = log softmax(W tanh(S [s_i; h_j]) + b) at `said`, at each source position j.

    Features and logits of a few rows exist at a time; a backward pass makes them again.

    normalisers: those of `mixture` where that was made before; no other token's logit is then needed.

    Reference: Wu, Shapiro and Cotterell 2018.
    """
    if normalisers is not None:
        logits = (looking.features() @ output.weight[said][:, :, None]).squeeze(2)
        return precise(logits) + output.bias[said][:, None] - normalisers

    def block(queries: Tensor, keys: Tensor, sentence: Tensor, said: Tensor) -> Tensor:
        logits = precise(output(Looking(queries, keys, sentence).features()))
        return logits.take_along_dim(said[:, None, None], dim=2).squeeze(2) - logits.logsumexp(2)

    rows = _rows_at_a_time(looking, output)
    if len(said) <= rows:
        return block(*looking, said)
    queries, keys, sentence = looking
    blocks = zip(queries.split(rows), sentence.split(rows), said.split(rows), strict=True)
    return torch.cat([checkpoint(block, some, keys, whose, y, use_reentrant=False) for some, whose, y in blocks])


def mixture(looking: Looking, output: Linear, prior: Float[Tensor, "rows source"]) -> Mixture:
    """log sum_j exp(prior_j) p(y | a = j) for every y of the vocabulary."""
    rows = _rows_at_a_time(looking, output)
    found = []
    for queries, sentence, weights in zip(
        looking.queries.split(rows), looking.sentence.split(rows), prior.split(rows), strict=True
    ):
        logits = precise(output(Looking(queries, looking.keys, sentence).features()))
        normalisers = logits.logsumexp(2)
        found.append(((logits + (weights - normalisers)[:, :, None]).logsumexp(1), normalisers))
    return Mixture(*map(torch.cat, zip(*found, strict=True)))


def _rows_at_a_time(looking: Looking, output: Linear) -> int:
    return max(1, NUMBERS_AT_A_TIME // (looking.keys.shape[1] * (output.in_features + output.out_features)))
