"""An attention that somebody has written himself, whole."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.attend import observer
from attentio.attention.call import Attended, Call
from attentio.attention.compare import Dot
from attentio.attention.mask import padding
from attentio.layers.packed import PackedWeights
from attentio.layers.sources import Source

AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class OwnAttention(nn.Module):
    """context, weights = function(query, keys, values, mask)

    function: of states [batch, q, hidden], source positions [batch, source, memory] twice, as keys and as values, and
        a mask [batch, 1, source], True = may attend; to a context [batch, q, memory] and weights [batch, q, source]. A
        module's parameters are learnt.

    Raises ValueError for a result of another shape.
    """

    score = normalize = None

    def __init__(self, function: AttentionFunction) -> None:
        super().__init__()
        self.function = function

    def forward(
        self,
        state: Float[Tensor, "batch q hidden"],
        source: Source,
        positions: Int[Tensor, "q"],
        need_weights: bool = False,
        packed: PackedWeights | None = None,
    ) -> Attended:
        """Attend from the decoder states; the weights always come along."""
        source = source.to(state.dtype)
        places = torch.arange(source.keys.shape[1], device=source.lengths.device)
        mask = (places < source.lengths[:, None]).unsqueeze(1)

        def compute(call: Call) -> Attended:
            context, weights = self.function(state, source.keys, source.values, mask)
            for what, tensor, last in (("context", context, source.values), ("weights", weights, mask)):
                if tensor.shape != (*state.shape[:2], last.shape[2]):
                    expected = [*state.shape[:2], last.shape[2]]
                    raise ValueError(
                        f"model.attention must return {what} of shape {expected}, got {list(tensor.shape)}"
                    )
            return Attended(context.unsqueeze(1), weights.unsqueeze(1))

        # What looks at attention is shown this call as one of `attend`, with an axis of heads.
        query, key, value = (tensor.unsqueeze(1) for tensor in (state, source.keys, source.values))
        call = Call(query, key, value, Dot(), padding(source.lengths), None, 0.0, need_weights=True)
        observe = None if torch.compiler.is_compiling() else observer.get()
        context, weights = compute(call) if observe is None else observe(call, compute)
        assert weights is not None
        return Attended(context.squeeze(1), weights.squeeze(1))
