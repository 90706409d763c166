"""Global attention: every decoder state looks at the whole source."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.attend import attend
from attentio.attention.call import Attended
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask import padding
from attentio.layers.packed import PackedWeights
from attentio.layers.sources import Score, Source


class GlobalAttention(nn.Module):
    """Attend to all source positions, compared by `score` (Bahdanau et al. 2014; Luong et al. 2015, section 3.1)."""

    def __init__(self, score: Score, normalize: NormalizeFunction | None = None) -> None:
        super().__init__()
        self.score, self.normalize = score, normalize

    def forward(
        self,
        state: Float[Tensor, "batch q hidden"],
        source: Source,
        positions: Int[Tensor, "q"],
        need_weights: bool = False,
        packed: PackedWeights | None = None,
    ) -> Attended:
        """Attend from the decoder states; `positions` (which target step each is) does not matter here."""
        queries = self.score.queries(state, source.keys.shape[1], packed)
        source = source.to(queries.dtype)
        return attend(
            queries,
            source.keys,
            source.values,
            score=self.score.comparison(),
            mask=padding(source.lengths),
            normalize=self.normalize,
            need_weights=need_weights,
        )
