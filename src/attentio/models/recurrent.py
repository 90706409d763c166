"""The recurrent encoder-decoder, its attention set by two switches.

    query     "previous"  the decoder's state before it reads the last token attends   (Bahdanau, delayed)
              "current"   the state after it attends                                    (Luong)
    context   "input"     the context enters the recurrence                             (Bahdanau)
              "output"    the context goes to the output only                           (Luong, delayed)
              "both"      the attentional vector goes to the output and the next input  (Luong's input feeding)

Only a context that feeds the recurrence makes the steps wait for one another; otherwise the whole target is one
call. `models.presets` sets the switches as the papers do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.layers.coverage import CoverageAttention
from attentio.layers.deferred import DeferredWeight
from attentio.layers.dropout import Dropout
from attentio.layers.global_attention import GlobalAttention
from attentio.layers.linear import Linear
from attentio.layers.local import LocalAttention
from attentio.layers.own_attention import OwnAttention
from attentio.layers.packed import PackedWeights
from attentio.layers.readout import AttentionalReadout, DecoderView, Readout
from attentio.layers.recurrence import Bidirectional, Recurrence, State, Stepper
from attentio.layers.sources import Source, prepare
from attentio.models.memory import Memory
from attentio.models.protocols import Step

Query = Literal["previous", "current"]
ContextTo = Literal["input", "output", "both"]
Attention = GlobalAttention | LocalAttention | CoverageAttention | OwnAttention


class RecurrentEncoder(nn.Module):
    """Bidirectional recurrent layers over the embedded source. features: of its outputs and of its summary."""

    def __init__(self, embedding: nn.Embedding, layers: list[Bidirectional], *, dropout: float) -> None:
        super().__init__()
        self.embedding, self.layers = embedding, nn.ModuleList(layers)
        self.features = self.summary_features = 2 * layers[-1].forwards.hidden_size
        self.dropout = Dropout(dropout)

    def forward(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> Memory:
        """Returns the memory; its summary is the last forward state beside the last backward one."""
        outputs = self.embedding(source)
        for layer in self.layers:
            outputs, summary = layer(self.dropout(outputs), lengths)
        return Memory(self.dropout(outputs), lengths, summary)


class Bridge(nn.Module):
    """The decoder's first states: tanh(W summary + b) for each layer's h (and c, without tanh).

    With `backward_only` it reads the second half of the summary, the backward direction's last state, as in
    Bahdanau et al. 2014, appendix A.2.2.
    """

    def __init__(self, *, summary: int, layers: int, states: int, hidden: int, backward_only: bool) -> None:
        super().__init__()
        self.layers, self.states, self.backward_only = layers, states, backward_only
        self.linear = Linear(summary // 2 if backward_only else summary, layers * states * hidden)

    def forward(self, summary: Float[Tensor, "batch summary"]) -> tuple[State, ...]:
        if self.backward_only:
            summary = summary.chunk(2, dim=1)[1]
        parts = self.linear(summary).chunk(self.layers * self.states, dim=1)
        layers = [parts[i : i + self.states] for i in range(0, len(parts), self.states)]
        return tuple((h.tanh(), *c) for h, *c in layers)


class Loop(NamedTuple):
    """What the steps of one pass share: each layer's step, and the readout's weight where it is fed back.

    packed: see `models.protocols.StepDecoder`.
    """

    steppers: tuple[Stepper, ...]
    readout_weight: DeferredWeight | None
    packed: PackedWeights | None


class Trace(NamedTuple):
    """What every step of a pass computed.

    views: what each knew when it chose, and fed: the attentional vector that it was fed, None without input feeding.
    source: what was attended to. features: what the output layer read. logits: of the token that is said.
    """

    views: DecoderView
    fed: Float[Tensor, "batch target features"] | None
    source: Source | None
    weights: Float[Tensor, "batch target source"] | None
    features: Float[Tensor, "batch target features"]
    logits: Float[Tensor, "batch target vocab"]


class Looked(NamedTuple):
    """A step but for its scores: what the decoder knew, its attention, what the output layer reads, the next state."""

    view: DecoderView
    weights: Float[Tensor, "batch beam source"] | None
    features: Float[Tensor, "batch beam features"]
    state: "RecurrentState"


@dataclass(frozen=True)
class RecurrentState:
    """Where a decoder stands between two tokens.

    layers: h (and c) of each layer, [batch, beam, hidden]. fed: the attentional vector to feed at the next step.
    position: how many tokens have been produced; a tensor in a step that is exported.
    covered: the attentions so far added up, where the attention asks for it.
    """

    source: Source | None
    layers: tuple[State, ...]
    fed: Float[Tensor, "batch beam features"] | None
    position: int | Int[Tensor, ""]
    loop: Loop
    covered: Float[Tensor, "batch beam source"] | None = None

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "RecurrentState":
        """See `models.protocols.DecoderState`. The source belongs to the sentence, so it stays."""
        rows = torch.arange(parents.shape[0], device=parents.device).unsqueeze(1)
        return self._pick((rows, parents))

    def keep(self, rows: Int[Tensor, "kept"]) -> "RecurrentState":
        """See `models.protocols.DecoderState`."""
        return replace(self._pick((rows,)), source=None if self.source is None else self.source.keep(rows))

    def _pick(self, index: tuple[Tensor, ...]) -> "RecurrentState":
        layers = tuple(tuple(part[index] for part in layer) for layer in self.layers)
        fed, covered = (None if part is None else part[index] for part in (self.fed, self.covered))
        return replace(self, layers=layers, fed=fed, covered=covered)


class RecurrentDecoder(nn.Module):
    """Recurrent layers over the target, which attend to the source as the two switches say.

    attention: None for the plain decoder, which knows the source by its first state only.
    """

    layers: Sequence[Recurrence]
    attention: Attention | None
    readout: Readout

    def __init__(
        self,
        embedding: nn.Embedding,
        layers: list[Recurrence],
        bridge: Bridge,
        attention: Attention | None,
        readout: Readout,
        *,
        query: Query,
        context: ContextTo,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding, self.bridge = embedding, bridge
        self.layers = nn.ModuleList(layers)  # type: ignore[assignment]
        self.attention, self.readout = attention, readout
        self.query, self.context = query, context
        self.fed_features = layers[0].input_size - embedding.embedding_dim
        self.dropout = Dropout(dropout)
        self.output = Linear(readout.features, embedding.num_embeddings)

    def features(self, memory: Memory, target: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target features"]:
        """Teacher-forced: what `output` turns into the logits of the token after each of `target`."""
        embedded = self.dropout(self.embedding(target))
        waits = self.attention is not None and (
            self.context != "output" or isinstance(self.attention, CoverageAttention)
        )
        return self.dropout((self._step_by_step if waits else self._all_at_once)(memory, embedded))

    def _all_at_once(
        self, memory: Memory, embedded: Float[Tensor, "batch target embedding"]
    ) -> Float[Tensor, "batch target features"]:
        first = self.bridge(memory.summary)
        current = embedded
        for i, (layer, state) in enumerate(zip(self.layers, first, strict=True)):
            current = layer.run(self.dropout(current) if i else current, state)
        previous = torch.cat([first[-1][0].unsqueeze(1), current[:, :-1]], dim=1)
        context = None
        if self.attention is not None and not isinstance(self.attention, CoverageAttention):
            source = prepare(self.attention.score, memory.outputs, memory.lengths)
            positions = torch.arange(embedded.shape[1], device=embedded.device)
            queries = previous if self.query == "previous" else current
            context = self.attention(queries, source, positions).context
        return self.readout(DecoderView(embedded, previous, current, context))

    def _step_by_step(
        self, memory: Memory, embedded: Float[Tensor, "batch target embedding"]
    ) -> Float[Tensor, "batch target features"]:
        state = self.start(memory)
        projected = self.layers[0].project(embedded)
        views: list[DecoderView] = []
        vectors: list[Tensor] = []
        # Split, not sliced: a slice's gradient is a whole tensor of zeros but for the slice, at every step.
        for embedded_now, projected_now in zip(embedded.split(1, dim=1), projected.split(1, dim=1), strict=True):
            view, _, state = self._advance(embedded_now, projected_now, state)
            views.append(view)
            if state.fed is not None:
                vectors.append(state.fed)
        if vectors:  # the steps had to make the attentional vectors already
            return torch.cat(vectors, dim=1)
        return self.readout(DecoderView(*(torch.cat(parts, dim=1) for parts in zip(*views, strict=True))))

    def trace(self, memory: Memory, target: Int[Tensor, "batch target"]) -> Trace:
        """Read `target` step by step, as a search would, and keep what each step computed."""
        state = self.start(memory)
        source, views = state.source, []
        fed, weights, features = [], [], []
        for token in target.split(1, dim=1):
            fed.append(state.fed)
            view, looked, read, state = self.look(token, state, need_weights=True)
            views.append(view)
            weights.append(looked)
            features.append(read)
        read = torch.cat(features, dim=1)
        return Trace(
            DecoderView(*map(_joined, zip(*views, strict=True))),
            _joined(fed),
            source,
            _joined(weights),
            read,
            self.output(read),
        )

    def start(self, memory: Memory, *, packed: PackedWeights | None = None) -> RecurrentState:
        """The state before the first token; whether gradients are wanted is decided here for all the steps."""
        layers = tuple(tuple(part.unsqueeze(1) for part in state) for state in self.bridge(memory.summary))
        source = fed_first = None
        if self.attention is not None:
            source = prepare(self.attention.score, memory.outputs, memory.lengths)
        loop = self.loop(packed)
        if loop.readout_weight is not None:
            fed_first = memory.outputs.new_zeros(memory.outputs.shape[0], 1, self.fed_features)
        covered = None
        if isinstance(self.attention, CoverageAttention):
            covered = memory.outputs.new_zeros(len(memory.outputs), 1, memory.outputs.shape[1])
        return RecurrentState(source, layers, fed_first, 0, loop, covered)

    def loop(self, packed: PackedWeights | None = None) -> Loop:
        """What the steps of a pass share."""
        fed, readout_weight = self.fed_features, None
        steppers = tuple(layer.stepper(fed if i == 0 else layer.input_size) for i, layer in enumerate(self.layers))
        if self.attention is not None and self.context == "both":
            assert isinstance(self.readout, AttentionalReadout)
            readout_weight = self.readout.looped()
        return Loop(steppers, readout_weight, packed)

    def step(self, token: Int[Tensor, "batch beam"], state: RecurrentState, *, need_weights: bool = True) -> Step:
        """Read `token` and score the next one; the weights are the attention that these scores come from."""
        looked = self.look(token, state, need_weights=need_weights)
        return Step(self.output(looked.features, looked.state.loop.packed), looked.weights, looked.state)

    def look(self, token: Int[Tensor, "batch beam"], state: RecurrentState, *, need_weights: bool) -> Looked:
        """Read `token`: all of a step but the scores."""
        embedded = self.dropout(self.embedding(token))
        view, weights, state = self._advance(embedded, self.layers[0].project(embedded), state, need_weights)
        features = self.readout(view, state.loop.packed) if state.fed is None else state.fed
        return Looked(view, weights, self.dropout(features), state)

    def _advance(
        self,
        embedded: Float[Tensor, "batch beam embedding"],
        projected: Float[Tensor, "batch beam gates"],
        state: RecurrentState,
        need_weights: bool = False,
    ) -> tuple[DecoderView, Tensor | None, RecurrentState]:
        """One step of the recurrence with its attention, before or after it as `query` says."""
        previous = state.layers[-1][0]
        context = weights = None
        if self.query == "previous":
            context, weights = self._attend(previous, state, need_weights)
        fed = context if self.context == "input" and self.attention is not None else state.fed
        layers = [state.loop.steppers[0](projected, fed, state.layers[0])]
        for layer, stepper, old in zip(self.layers[1:], state.loop.steppers[1:], state.layers[1:], strict=True):
            nothing_known = layer.project(embedded[..., :0])
            layers.append(stepper(nothing_known, self.dropout(layers[-1][0]), old))
        current = layers[-1][0]
        if self.query == "current":
            context, weights = self._attend(current, state, need_weights)
        view = DecoderView(embedded, previous, current, context)
        fed_next = None
        if state.loop.readout_weight is not None:
            fed_next = self.readout(view, weight=state.loop.readout_weight)
        covered = None if state.covered is None or weights is None else state.covered + weights
        state = replace(state, layers=tuple(layers), fed=fed_next, position=state.position + 1, covered=covered)
        return view, weights, state

    def _attend(
        self, query: Float[Tensor, "batch beam hidden"], state: RecurrentState, need_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        if self.attention is None or state.source is None:
            return None, None
        if isinstance(self.attention, CoverageAttention):
            assert state.covered is not None
            return self.attention(query, state.source, state.covered, state.loop.packed)
        positions = torch.zeros(query.shape[1], dtype=torch.long, device=query.device) + state.position
        return self.attention(query, state.source, positions, need_weights, state.loop.packed)


def _joined(steps: Iterable[Tensor | None]) -> Any:
    """What all steps have, side by side; None for what they have not."""
    there = [each for each in steps if each is not None]
    return torch.cat(there, dim=1) if there else None
