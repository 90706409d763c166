"""Bahdanau's comparison, which is also Luong's *concat*."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.attention.compare import Additive
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights


class AdditiveScore(nn.Module):
    """score(s, h) = v . tanh(W s + U h), with a bias inside the tanh.

    query_features, memory_features: of the decoder state s and of the encoder output h.
    features: rows of W and U, the space the two are compared in.

    References: Bahdanau et al. 2014, section 3.1 and appendix A.1.2 (biases omitted there "to increase
    readability"); Luong et al. 2015, section 3.1, *concat*: v . tanh(W_a [s; h]), whose W_a is [W U].
    """

    reach: int | None = None

    def __init__(self, *, query_features: int, memory_features: int, features: int) -> None:
        super().__init__()
        self.query = Linear(query_features, features)
        self.key = Linear(memory_features, features, bias=False)
        self.vector = nn.Parameter(torch.empty(features).uniform_(-1, 1) / math.sqrt(features))

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source d"]:
        """U h, the same at every decoding step, so made once a source."""
        return self.key(memory)

    def queries(
        self, state: Float[Tensor, "batch q hidden"], source: int, packed: PackedWeights | None = None
    ) -> Float[Tensor, "batch q d"]:
        """W s, for any number of states at once."""
        return self.query(state, packed)

    def comparison(self) -> Additive:
        """How a query and a key are compared."""
        return Additive(self.vector)
