"""An encoder and a decoder put together: the model that training, decoding and evaluation see."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.layers.packed import PackedWeights
from attentio.models.protocols import DecoderState, Step


class EncoderDecoder(nn.Module):
    """Any encoder with any decoder of this package.

    Teacher-forced, `features` then `output` give the logits of every target position at once; step by step,
    `encode`, `start` and `step` are what a search needs.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @property
    def output(self) -> nn.Linear:
        """The layer that turns features into logits over the target vocabulary."""
        return self.decoder.output  # type: ignore[return-value]

    def features(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target features"]:
        """Position t has read target[:, :t + 1]; `output` makes of it the logits of the token after that."""
        return self.decoder.features(self.encode(source, lengths), target)  # type: ignore[operator]

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target vocab"]:
        """Teacher-forced logits (not probabilities) of the token after each of `target`, begin token first."""
        return self.output(self.features(source, lengths, target))

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> Any:
        """Read the sources, whose real tokens `lengths` counts."""
        return self.encoder(source, lengths)

    def start(self, memory: Any, *, packed: PackedWeights | None = None) -> DecoderState:
        """The decoder's state before the first token; see `models.protocols.StepDecoder`."""
        return self.decoder.start(memory, packed=packed)  # type: ignore[operator]

    def step(self, token: Int[Tensor, "batch beam"], state: Any, *, need_weights: bool = True) -> Step:
        """One token further."""
        return self.decoder.step(token, state, need_weights=need_weights)  # type: ignore[operator]
