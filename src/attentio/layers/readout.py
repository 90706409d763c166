"""What a recurrent decoder makes of its states and the context before the output layer."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.layers.deferred import DeferredWeight
from attentio.layers.linear import Linear, linear
from attentio.layers.packed import PackedWeights


class DecoderView(NamedTuple):
    """All that a decoder knows when it is to choose a token.

    embedded: the last token, y(i-1). previous, current: its states s(i-1) and s(i). context: None without attention.
    """

    embedded: Float[Tensor, "*batch embedding"]
    previous: Float[Tensor, "*batch hidden"]
    current: Float[Tensor, "*batch hidden"]
    context: Float[Tensor, "*batch dv"] | None


class StateReadout(nn.Module):
    """s(i) as it is: the decoder without attention (Sutskever et al. 2014), or one whose state has read the context."""

    def __init__(self, *, hidden: int) -> None:
        super().__init__()
        self.features = hidden

    def forward(self, view: DecoderView, packed: PackedWeights | None = None) -> Float[Tensor, "*batch features"]:
        return view.current


class ConcatenatedReadout(nn.Module):
    """[s(i); a], to be followed by one fully connected layer, the output layer."""

    def __init__(self, *, hidden: int, memory_features: int) -> None:
        super().__init__()
        self.features = hidden + memory_features

    def forward(self, view: DecoderView, packed: PackedWeights | None = None) -> Float[Tensor, "*batch features"]:
        assert view.context is not None
        return torch.cat([view.current, view.context], dim=-1)


class AttentionalReadout(nn.Module):
    """The attentional vector tanh(W [c; s(i)]) (Luong et al. 2015, equation 5)."""

    def __init__(self, *, hidden: int, memory_features: int) -> None:
        super().__init__()
        self.features = hidden
        self.weight = nn.Linear(memory_features + hidden, hidden, bias=False).weight

    def looped(self) -> DeferredWeight:
        """W for a pass step by step, where the vector itself is fed to the next step."""
        return DeferredWeight(self.weight)

    def forward(
        self, view: DecoderView, packed: PackedWeights | None = None, *, weight: DeferredWeight | None = None
    ) -> Float[Tensor, "*batch features"]:
        assert view.context is not None
        joined = torch.cat([view.context, view.current], dim=-1)
        return (linear(joined, self.weight) if weight is None else weight(joined)).tanh()


class MaxoutReadout(nn.Module):
    """Bahdanau's deep output: pairwise maxima of U s(i-1) + V E y(i-1) + C c.

    Reference: Bahdanau et al. 2014, appendix A.2.2. The state is the one before the recurrence has read
    y(i-1), as written there.
    """

    def __init__(self, *, embedding: int, hidden: int, memory_features: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.linear = Linear(hidden + embedding + memory_features, 2 * features)

    def forward(self, view: DecoderView, packed: PackedWeights | None = None) -> Float[Tensor, "*batch features"]:
        assert view.context is not None
        joined = self.linear(torch.cat([view.previous, view.embedded, view.context], dim=-1), packed)
        return joined.unflatten(-1, (self.features, 2)).amax(dim=-1)


Readout = StateReadout | ConcatenatedReadout | AttentionalReadout | MaxoutReadout
