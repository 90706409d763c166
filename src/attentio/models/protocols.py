"""What training and decoding know of a model: these protocols, and never a concrete class."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attentio.layers.packed import PackedWeights


@runtime_checkable
class DecoderState(Protocol):
    """Everything a decoder carries from one step to the next, its view of the source included.

    Its tensors have the sentences first and the hypotheses of each sentence second, so that a search can
    pick among them without knowing what they are.
    """

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "DecoderState":
        """Hypothesis j of sentence i goes on from what was hypothesis `parents[i, j]` of sentence i."""
        ...

    def keep(self, rows: Int[Tensor, "kept"]) -> "DecoderState":
        """Only the sentences numbered in `rows` go on, in that order."""
        ...


class Step(NamedTuple):
    """One decoding step of every hypothesis.

    logits: unnormalised scores of the next token.
    weights: the attention that produced them, None for a model without attention or where it was not asked for.
    state: to be handed to the next step.
    """

    logits: Float[Tensor, "batch beam vocab"]
    weights: Float[Tensor, "batch beam source"] | None
    state: Any


@runtime_checkable
class StepDecoder(Protocol):
    """A decoder that produces one token a step. It keeps no state of its own between the calls."""

    def start(self, memory: Any, *, packed: PackedWeights | None = None) -> DecoderState:
        """The state before the first token, with one hypothesis (beam 1) per sentence.

        packed: what all steps from this state on read the weights from; None for the weights as they are.
        """
        ...

    def step(self, token: Int[Tensor, "batch beam"], state: Any, *, need_weights: bool = True) -> Step:
        """Feed the last token of every hypothesis (first: the begin token), get the scores of the next."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """What training sees: features, the same whatever the batch is made of, and the layer that scores them."""

    @property
    def output(self) -> nn.Linear:
        """The layer that turns features into logits over the vocabulary."""
        ...

    def features(self, *inputs: Tensor) -> Float[Tensor, "batch positions features"]:
        """What `output` turns into the logits of what is to be predicted at each position."""
        ...


@runtime_checkable
class Likelihood(Protocol):
    """A model that brings its own likelihood: a mixture, of which no one layer gives the logits.

    Called, it gives log-probabilities where others give logits.
    """

    def loss(
        self, labels: Int[Tensor, "batch positions"], asked: Bool[Tensor, "batch positions"], *inputs: Tensor
    ) -> Float[Tensor, ""]:
        """The negative log-probabilities (natural) of the asked labels, each given those before it, summed."""
        ...

    def forward(self, *inputs: Tensor) -> Float[Tensor, "batch positions vocab"]:
        """log p of every token at each position."""
        ...


@runtime_checkable
class LatentAttention(Protocol):
    """A model whose attention is a random variable: what was said tells where it looked, so it is asked afterwards."""

    def posterior(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target source"]:
        """The probability of each source position at each step, given all asked labels; target is read to say them."""
        ...
