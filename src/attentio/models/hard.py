"""Exact hard attention: the decoder looks at one source position at a time, and all ways to look are summed over.

    p(y | x) = sum over a_1 .. a_T of  prod_i p(a_i | a_{i-1}, y_<i, x) p(y_i | a_i, y_<i, x)

What was looked at does not enter the recurrence, so the states of all steps are computed at once, and the sum over the
alignments a is the forward algorithm of a hidden Markov model: nothing is drawn, nothing approximated.

References: Wu, Shapiro and Cotterell 2018, "Hard Non-Monotonic Attention for Character-Level Transduction"; Wu and
Cotterell 2019, "Exact Hard Monotonic Attention for Character-Level Inflection".
"""

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attentio.layers.emission import Looking, emission, mixture
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights
from attentio.layers.readout import StateReadout
from attentio.layers.recurrence import Recurrence
from attentio.layers.transitions import Transitions, at_the_first
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.memory import Memory
from attentio.models.protocols import Step
from attentio.models.recurrent import Bridge, RecurrentDecoder, RecurrentState


class HardSource(NamedTuple):
    """A source made ready, once for all steps: what the transitions and what the emissions need of its positions."""

    moves: Float[Tensor, "batch source d"]
    keys: Float[Tensor, "batch source hidden"]
    lengths: Int[Tensor, "batch"]


Source = TypeVar("Source", bound=tuple[Tensor, ...])
"""What a decoder needs of the source, as named tensors that have the sentences first."""


@dataclass(frozen=True)
class HardState(Generic[Source]):
    """Where a decoder stands between two tokens.

    prior: log p(a_i | y_<i) of the step before; before the first one where the attention begins.
    queries, normalisers: what that step's emission needs once it is known which token was said; None before it.
    """

    recurrent: RecurrentState
    source: Source
    prior: Float[Tensor, "batch beam source"]
    queries: Float[Tensor, "batch beam hidden"] | None = None
    normalisers: Float[Tensor, "batch beam source"] | None = None

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "HardState[Source]":
        """See `models.protocols.DecoderState`. The source belongs to the sentence, so it stays."""
        rows = torch.arange(parents.shape[0], device=parents.device).unsqueeze(1)
        return self._pick((rows, parents), self.recurrent.reorder(parents), self.source)

    def keep(self, rows: Int[Tensor, "kept"]) -> "HardState[Source]":
        """See `models.protocols.DecoderState`."""
        source: Source = type(self.source)(*(part[rows] for part in self.source))
        return self._pick((rows,), self.recurrent.keep(rows), source)

    def _pick(self, index: tuple[Tensor, ...], recurrent: RecurrentState, source: Source) -> "HardState[Source]":
        prior, queries, normalisers = (
            part if part is None else part[index] for part in (self.prior, self.queries, self.normalisers)
        )
        assert prior is not None
        return HardState(recurrent, source, prior, queries, normalisers)


class HardDecoder(RecurrentDecoder):
    """A recurrent decoder without attention of its own, whose states say where to look and what is said there.

    `features` gives those states, of all steps at once.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        layers: list[Recurrence],
        bridge: Bridge,
        transitions: Transitions,
        *,
        memory_features: int,
        dropout: float,
    ) -> None:
        hidden = layers[-1].hidden_size
        readout = StateReadout(hidden=hidden)
        super().__init__(embedding, layers, bridge, None, readout, query="current", context="output", dropout=dropout)
        self.transitions = transitions
        self.of_state, self.of_memory = (Linear(size, hidden, bias=False) for size in (hidden, memory_features))

    def log_probs(
        self,
        memory: Memory,
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target"]:
        """log p of each label that is asked for; position t has read target[:, :t + 1]."""
        source, states = self._source(memory), self.features(memory, target)
        tables = self.transitions.tables(states, source.moves, source.lengths)
        return self._forward(tables, self._emissions(states, source, labels, asked))[1]

    def distribution(self, memory: Memory, target: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target vocab"]:
        """log p(y | target[:, :t + 1]) for every y, at each position t."""
        source, states = self._source(memory), self.features(memory, target)
        tables = self.transitions.tables(states, source.moves, source.lengths)
        said = target.roll(-1, dims=1)  # the last position's has no influence
        priors, _ = self._forward(tables, self._emissions(states, source, said, torch.ones_like(said).bool()))
        found = mixture(Looking.of_steps(self.of_state(states), source.keys), self.output, priors.flatten(0, 1))
        return found.log_probs.unflatten(0, target.shape)

    def posterior(
        self,
        memory: Memory,
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target source"]:
        """p(a_i = j | y, x), given all asked labels y: the gradient of log p(y | x) by log p(y_i | a_i = j)."""
        source, states = self._source(memory), self.features(memory, target)
        tables = self.transitions.tables(states, source.moves, source.lengths)
        emissions = self._emissions(states, source, labels, asked)
        with torch.inference_mode(False), torch.enable_grad():
            emissions = emissions.detach().clone().requires_grad_()
            _, log_probs = self._forward(tables.detach().clone(), emissions)
            return torch.autograd.grad(log_probs.sum(), emissions)[0]

    def start(self, memory: Memory, *, packed: PackedWeights | None = None) -> HardState[HardSource]:  # type: ignore[override]
        """See `models.protocols.StepDecoder`."""
        source = self._source(memory)
        return HardState(super().start(memory, packed=packed), source, at_the_first(source.keys[:, :, 0]).unsqueeze(1))

    def step(  # type: ignore[override]
        self, token: Int[Tensor, "batch beam"], state: HardState[HardSource], *, need_weights: bool = True
    ) -> Step:
        """Read `token` and score the next one; the weights are p(a_i | y_<i), what these scores are weighted with."""
        source, before = state.source, state.prior
        if state.queries is not None and state.normalisers is not None:
            looking = Looking.of_steps(state.queries, source.keys)
            said = emission(looking, self.output, token.flatten(), state.normalisers.flatten(0, 1))
            before = (before + said.view_as(before)).log_softmax(-1)
        embedded = self.dropout(self.embedding(token))
        view, _, recurrent = self._advance(embedded, self.layers[0].project(embedded), state.recurrent)
        states = self.dropout(view.current)
        prior = self.transitions.prior(before, self.transitions.tables(states, source.moves, source.lengths))
        queries = self.of_state(states, recurrent.loop.packed)
        found = mixture(Looking.of_steps(queries, source.keys), self.output, prior.flatten(0, 1))
        state = HardState(recurrent, source, prior, queries, found.normalisers.view_as(prior))
        return Step(found.log_probs.unflatten(0, token.shape), prior.exp() if need_weights else None, state)

    def _source(self, memory: Memory) -> HardSource:
        return HardSource(self.transitions.keys(memory.outputs), self.of_memory(memory.outputs), memory.lengths)

    def _emissions(
        self, states: Tensor, source: HardSource, said: Tensor, asked: Bool[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target source"]:
        """log p(y_i | a_i = j) of the asked y; 0 for the others."""
        looking = Looking(self.of_state(states)[asked], source.keys, asked.nonzero()[:, 0])
        found = emission(looking, self.output, said[asked])
        return found.new_zeros(*asked.shape, found.shape[1]).index_put((asked,), found)

    def _forward(
        self, tables: Tensor, emissions: Float[Tensor, "batch target source"]
    ) -> tuple[Float[Tensor, "batch target source"], Float[Tensor, "batch target"]]:
        """The forward algorithm: log p(a_i | y_<i) and log p(y_i | y_<i) of every step i."""
        before, priors, log_probs = at_the_first(emissions[:, 0]), [], []
        for table, said in zip(tables.unbind(1), emissions.unbind(1), strict=True):
            priors.append(self.transitions.prior(before, table))
            joint = priors[-1] + said
            log_probs.append(joint.logsumexp(-1))
            before = joint - log_probs[-1][:, None]
        return torch.stack(priors, 1), torch.stack(log_probs, 1)


class HardEncoderDecoder(EncoderDecoder):
    """An encoder with a `HardDecoder`. What it gives of each token are log-probabilities, already normalised."""

    decoder: HardDecoder

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target vocab"]:
        """Teacher-forced log-probabilities of the token after each of `target`, begin token first."""
        return self.decoder.distribution(self.encode(source, lengths), target)

    def log_probs(
        self,
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target"]:
        """log p (natural) of each label given the labels before it; 0 where it is not asked for."""
        log_probs = self.decoder.log_probs(self.encode(source, lengths), target, labels, asked)
        return log_probs.masked_fill(~asked, 0.0)

    def loss(
        self, labels: Int[Tensor, "batch target"], asked: Bool[Tensor, "batch target"], *inputs: Int[Tensor, "..."]
    ) -> Float[Tensor, ""]:
        """See `models.protocols.Likelihood`."""
        return -self.log_probs(labels, asked, *inputs).sum()

    def posterior(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target source"]:
        """See `models.protocols.LatentAttention`."""
        return self.decoder.posterior(self.encode(source, lengths), target, labels, asked)
