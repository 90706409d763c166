"""The position-wise feed-forward layer of a Transformer block."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights

Activation = Literal["relu", "relu-squared", "gelu", "gelu-tanh", "silu", "swiglu"]


class FeedForward(nn.Module):
    """down(activation(up(x))), the same at every position.

    relu           max(0, x)                     Vaswani et al. 2017, equation 2
    relu-squared   max(0, x)^2                   So et al. 2021, "Primer", section 4.1
    gelu           x Phi(x)                      Hendrycks & Gimpel 2016, as BERT
    gelu-tanh      its approximation by tanh     as GPT-2
    silu           x sigmoid(x)                  Hendrycks & Gimpel 2016; Marian's "swish"
    swiglu         down(silu(gate(x)) * up(x))   Shazeer 2020, equation 6; with biases where `bias`
    """

    def __init__(self, width: int, hidden: int, *, activation: Activation, bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.up = Linear(width, hidden, bias=bias)
        self.gate = Linear(width, hidden, bias=bias) if activation == "swiglu" else None
        self.down = Linear(hidden, width, bias=bias)

    def forward(
        self, inputs: Float[Tensor, "*batch width"], packed: PackedWeights | None = None
    ) -> Float[Tensor, "*batch width"]:
        """The layer applied to each vector."""
        hidden = self.up(inputs, packed)
        if self.gate is not None:
            return self.down(F.silu(self.gate(inputs, packed)) * hidden, packed)
        return self.down(activate(hidden, self.activation), packed)


def activate(hidden: Float[Tensor, "..."], activation: Activation) -> Float[Tensor, "..."]:
    """An activation that needs no gate."""
    if activation == "relu":
        return F.relu(hidden)
    if activation == "relu-squared":
        return F.relu(hidden).square()
    if activation == "silu":
        return F.silu(hidden)
    return F.gelu(hidden, approximate="tanh" if activation == "gelu-tanh" else "none")
