"""Local attention: every decoder state looks at a few source positions only (Luong et al. 2015, section 3.2)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attentio.attention.attend import attend
from attentio.attention.call import Attended
from attentio.attention.entmax import NormalizeFunction
from attentio.attention.mask import keep
from attentio.devices import without_autocast
from attentio.layers.luong import LocationScore
from attentio.layers.packed import PackedWeights
from attentio.layers.sources import Score, Source


class Windows(NamedTuple):
    """Where each query looks.

    centre: p_t. looked_at: the 2D + 1 positions. inside: those of them within the sentence. decay: the Gaussian of
    local-p at each; None in local-m.
    """

    centre: Float[Tensor, "batch q"] | Int[Tensor, "batch q"]
    looked_at: Int[Tensor, "batch q window"]
    inside: Bool[Tensor, "batch q window"]
    decay: Float[Tensor, "batch q window"] | None


class LocalAttention(nn.Module):
    """Attend to the 2D + 1 source positions around a centre p_t, whatever the length S of the source.

        local-m   p_t = t
        local-p   p_t = S sigmoid(v . tanh(W s_t)),   weights * exp(-(position - p_t)^2 / (2 sigma^2)),  sigma = D / 2

    Keys and values are gathered at those positions before anything is computed. Positions outside the sentence
    get no weight. The Gaussian is applied after the softmax, so the weights of local-p sum to less than 1.

    window: D, at least 1. predictive: local-p rather than local-m. hidden: features of s_t.

    Reference: equations 9 and 10. Positions are counted from 0; the window is centred on p_t rounded. With the score
    *location*, S is at most its reach.
    """

    def __init__(
        self, score: Score, normalize: NormalizeFunction | None = None, *, window: int, predictive: bool, hidden: int
    ) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window must be at least 1 position on each side, got {window}")
        self.score, self.normalize, self.window, self.predictive = score, normalize, window, predictive
        if predictive:
            self.predict = nn.Sequential(
                nn.Linear(hidden, hidden, bias=False), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
            )

    def forward(
        self,
        state: Float[Tensor, "batch q hidden"],
        source: Source,
        positions: Int[Tensor, "q"],
        need_weights: bool = False,
        packed: PackedWeights | None = None,
    ) -> Attended:
        """Attend from the decoder states, which stand at the target steps `positions`, counted from 0."""
        (batch, q, _), (_, k, _) = state.shape, source.keys.shape
        queries = self.score.queries(state, k, packed)
        source = source.to(queries.dtype)
        _, looked_at, inside, decay = self.windows(state, source, positions)
        gathered = looked_at.clamp(0, k - 1)
        rows = torch.arange(batch, device=state.device).view(batch, 1, 1)
        keys, values = source.keys[rows, gathered], source.values[rows, gathered]
        if isinstance(self.score, LocationScore):
            queries = queries.gather(2, gathered)
        if decay is not None:
            values = values * decay.unsqueeze(3).to(values.dtype)  # the context is linear in the values
        context, weights = attend(
            queries.flatten(0, 1).unsqueeze(1),
            keys.flatten(0, 1),
            values.flatten(0, 1),
            score=self.score.comparison(),
            mask=keep(inside.flatten(0, 1).unsqueeze(1)),
            normalize=self.normalize,
            need_weights=need_weights,
        )
        if weights is not None:
            weights = weights.view(batch, q, -1)
            weights = weights if decay is None else weights * decay.to(weights.dtype)
            weights = weights.new_zeros(batch, q, k).scatter_add(2, gathered, weights)
        return Attended(context.view(batch, q, -1), weights)

    def windows(self, state: Float[Tensor, "batch q hidden"], source: Source, positions: Int[Tensor, "q"]) -> Windows:
        """Where `forward`, given the same, looks."""
        batch, q, _ = state.shape
        centre = self._centre(state, source) if self.predictive else positions.expand(batch, q)
        offsets = torch.arange(-self.window, self.window + 1, device=state.device)
        middle = centre.detach().round().long() if self.predictive else centre
        looked_at = middle.unsqueeze(2) + offsets
        inside = (looked_at >= 0) & (looked_at < source.lengths.view(batch, 1, 1))
        decay: Tensor | None = None
        if self.predictive:
            sigma = self.window / 2
            decay = torch.exp(-((looked_at - centre.unsqueeze(2)) ** 2) / (2 * sigma**2))
        return Windows(centre, looked_at, inside, decay)

    def _centre(self, state: Float[Tensor, "batch q hidden"], source: Source) -> Float[Tensor, "batch q"]:
        """p_t of local-p, in float32 at least: bfloat16 cannot tell position 256 from 257."""
        with without_autocast(state.device):
            scores = self.predict(state.to(next(self.predict.parameters()).dtype)).squeeze(2)
        exact = torch.promote_types(scores.dtype, torch.float32)
        return source.lengths.unsqueeze(1) * scores.to(exact).sigmoid()
