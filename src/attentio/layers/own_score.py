"""A comparison that somebody has written himself."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from attentio.layers.packed import PackedWeights


class OwnScore(nn.Module):
    """score(s, h) = function(s, h), where the function is given all states and all source positions at once.

    function: of states [batch, q, hidden] and source positions [batch, source, memory], to scores [batch, q, source];
        a module's parameters are learnt.
    """

    reach: int | None = None

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def keys(self, memory: Float[Tensor, "batch source memory"]) -> Float[Tensor, "batch source d"]:
        """h itself."""
        return memory

    def queries(
        self, state: Float[Tensor, "batch q hidden"], source: int, packed: PackedWeights | None = None
    ) -> Float[Tensor, "batch q d"]:
        """s itself."""
        return state

    def comparison(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The function."""
        return self.function
