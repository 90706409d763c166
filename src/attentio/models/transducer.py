"""The neural edit transducer: a pointer goes over the source once, and what is said is said by edits there.

    p(y | x) = sum over all sequences of edits that turn x into y, of their product        p(edit | y_<t, j, x)

An edit's probability depends on what has been said and on where the pointer stands, not on how it came there. So the
states of all steps are computed at once, and the sum over all sequences of edits is exact (`layers.edits`). Its
attention is hard and monotonic: a token is said at one source position, and the pointer never goes back.

The transducers of Makarov and Clematide 2018, "Imitation Learning for Neural Morphological String Transduction", have
these edits; their decoder also reads what it has read and done, so that no sum over all ways is possible, and an expert
names the edits that are best in each state. Here the sum is what is learnt, and no expert is needed.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attentio.layers.edits import Edits, Saying, Tape, arriving, passing, said_before, saying, speak
from attentio.layers.emission import Looking
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights
from attentio.layers.readout import StateReadout
from attentio.layers.recurrence import Recurrence
from attentio.layers.transitions import at_the_first
from attentio.models.hard import HardEncoderDecoder, HardState
from attentio.models.memory import Memory
from attentio.models.protocols import Step
from attentio.models.recurrent import Bridge, RecurrentDecoder


class TransducerDecoder(RecurrentDecoder):
    """A recurrent decoder of what has been said, whose states choose the edits at each source position.

    `output` scores INSERT of each token, `substitution` SUBSTITUTE of each, `silent` DELETE and COPY. end: the token.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        layers: list[Recurrence],
        bridge: Bridge,
        *,
        memory_features: int,
        end: int,
        dropout: float,
    ) -> None:
        hidden = layers[-1].hidden_size
        readout = StateReadout(hidden=hidden)
        super().__init__(embedding, layers, bridge, None, readout, query="current", context="output", dropout=dropout)
        self.of_state, self.of_memory = (Linear(size, hidden, bias=False) for size in (hidden, memory_features))
        self.substitution, self.silent = (Linear(hidden, rows) for rows in (embedding.num_embeddings, 2))
        self.end = end

    def log_probs(
        self,
        memory: Memory,
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target"]:
        """log p of each label that is asked for, 0 for the others; position t has read target[:, :t + 1]."""
        return self._forward(self._saying(memory, target, labels, asked), asked)[1]

    def distribution(self, memory: Memory, target: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target vocab"]:
        """log p(y | target[:, :t + 1]) for every y, at each position t."""
        tape, states = self._tape(memory), self.features(memory, target)
        said = target.roll(-1, dims=1)  # the last position's has no influence
        every = torch.ones_like(said).bool()
        arrived, _ = self._forward(self._saying(memory, target, said, every), every)
        looking = Looking.of_steps(self.of_state(states), tape.keys)
        return speak(looking, self._edits(), tape, arrived.flatten(0, 1)).log_probs.unflatten(0, target.shape)

    def posterior(
        self,
        memory: Memory,
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target source"]:
        """p(token t is said at j | y, x), given all asked labels y: the gradient of log p(y | x) by the edits that
        say it."""
        found = self._saying(memory, target, labels, asked)
        with torch.inference_mode(False), torch.enable_grad():
            found = Saying(*(part.detach().clone().requires_grad_() for part in found))
            _, log_probs = self._forward(found, asked.clone())
            stay, go_on = torch.autograd.grad(log_probs.sum(), [found.stay, found.go_on])
            return (stay + go_on).clamp(min=0.0)  # below 0 by rounding only

    def start(self, memory: Memory, *, packed: PackedWeights | None = None) -> HardState[Tape]:  # type: ignore[override]
        """See `models.protocols.StepDecoder`."""
        tape = self._tape(memory)
        return HardState(super().start(memory, packed=packed), tape, at_the_first(tape.keys[:, :, 0]).unsqueeze(1))

    def step(  # type: ignore[override]
        self, token: Int[Tensor, "batch beam"], state: HardState[Tape], *, need_weights: bool = True
    ) -> Step:
        """Read `token` and score the next one; the weights are where it is said, before it is known which it is."""
        tape, edits, arrived = state.source, self._edits(), state.prior
        if state.queries is not None and state.normalisers is not None:
            looking = Looking.of_steps(state.queries, tape.keys)
            edited = said_before(looking, edits, tape, token.flatten(), state.normalisers.flatten(0, 1))
            arrived, _ = arriving(arrived, *(part.view_as(arrived) for part in edited))
        embedded = self.dropout(self.embedding(token))
        view, _, recurrent = self._advance(embedded, self.layers[0].project(embedded), state.recurrent)
        queries = self.of_state(self.dropout(view.current), recurrent.loop.packed)
        found = speak(Looking.of_steps(queries, tape.keys), edits, tape, arrived.flatten(0, 1))
        passed, speaking, normalisers = (part.view_as(arrived) for part in found[1:])
        state = HardState(recurrent, tape, passed, queries, normalisers)
        return Step(found.log_probs.unflatten(0, token.shape), speaking if need_weights else None, state)

    def _tape(self, memory: Memory) -> Tape:
        assert memory.copies is not None
        return Tape(self.of_memory(memory.outputs), memory.lengths, memory.copies)

    def _edits(self) -> Edits:
        layers = (self.output, self.substitution, self.silent)
        return Edits(torch.cat([each.weight for each in layers]), torch.cat([each.bias for each in layers]), self.end)

    def _saying(self, memory: Memory, target: Tensor, labels: Tensor, asked: Bool[Tensor, "batch target"]) -> Saying:
        """Of the asked labels; 0 for the others."""
        tape, queries = self._tape(memory), self.of_state(self.features(memory, target))
        looking = Looking(queries[asked], tape.keys, asked.nonzero()[:, 0])
        found = saying(looking, self._edits(), tape, labels[asked])
        none = found.delete.new_zeros(*asked.shape, tape.keys.shape[1])
        return Saying(*(none.index_put((asked,), part) for part in found))

    def _forward(
        self, said: Saying, asked: Bool[Tensor, "batch target"]
    ) -> tuple[Float[Tensor, "batch target source"], Float[Tensor, "batch target"]]:
        """The forward algorithm: where the pointer is before each label, and the labels' log-probabilities.

        A label that is not asked for moves nothing.
        """
        before, arrived, log_probs = at_the_first(said.stay[:, 0]), [], []
        for delete, stay, go_on, here in zip(*(part.unbind(1) for part in said), asked.unbind(1), strict=True):
            arrived.append(before)
            after, log_prob = arriving(passing(before, delete), stay, go_on)
            before = after.where(here[:, None], before)
            log_probs.append(log_prob.where(here, 0.0))
        return torch.stack(arrived, 1), torch.stack(log_probs, 1)


class TransducerEncoderDecoder(HardEncoderDecoder):
    """An encoder with a `TransducerDecoder`. What it gives of each token are log-probabilities, already normalised.

    copies: of each entry of the source vocabulary, the target's id of the same text, -1 where there is none.
    """

    decoder: TransducerDecoder  # type: ignore[assignment]
    copies: Tensor

    def __init__(self, encoder: nn.Module, decoder: TransducerDecoder, copies: Int[Tensor, "entries"]) -> None:
        super().__init__(encoder, decoder)
        self.register_buffer("copies", copies, persistent=False)

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> Memory:
        """The sources as the encoder has read them, and what can be copied from them."""
        return super().encode(source, lengths)._replace(copies=self.copies[source])
