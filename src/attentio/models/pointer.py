"""The pointer-generator: a decoder that says a token of its vocabulary, or copies one that its attention is on.

    P(y_t) = g_t P_vocab(y_t) + (1 - g_t) sum over j with x_j = y_t of a_tj         g_t = sigmoid(w [c_t; s_t; x_t] + b)

So it can say what is in no vocabulary: ids of a source beyond the vocabulary's entries are symbols of that source
alone, and so are ids of the target beyond those that any source has (`text.copying` numbers them).

Reference: See, Liu and Manning 2017, "Get To The Point: Summarization with Pointer-Generator Networks", section 2.2,
around any recurrent decoder with attention; coverage, section 2.3, is in `layers.coverage`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attentio.layers.coverage import CoverageAttention
from attentio.layers.linear import Linear
from attentio.layers.open_embedding import OpenEmbedding
from attentio.layers.packed import PackedWeights
from attentio.layers.readout import DecoderView
from attentio.layers.transitions import precise
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.memory import Memory
from attentio.models.protocols import Step
from attentio.models.recurrent import RecurrentDecoder, RecurrentState, Trace
from attentio.models.transformer import TransformerEncoder


@dataclass(frozen=True)
class PointerState:
    """Where a decoder stands between two tokens. copies: the target's id of each source token."""

    recurrent: RecurrentState
    copies: Int[Tensor, "batch source"]
    vocabulary: int

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "PointerState":
        """See `models.protocols.DecoderState`."""
        return replace(self, recurrent=self.recurrent.reorder(parents))

    def keep(self, rows: Int[Tensor, "kept"]) -> "PointerState":
        """See `models.protocols.DecoderState`."""
        return replace(self, recurrent=self.recurrent.keep(rows), copies=self.copies[rows])


class PointerDecoder(nn.Module):
    """A recurrent decoder with attention, and the gate g between saying and copying.

    Raises ValueError for one without attention.
    """

    def __init__(self, decoder: RecurrentDecoder, *, memory_features: int) -> None:
        super().__init__()
        if decoder.attention is None:
            raise ValueError("copy needs an attention that mixes values, such as luong or bahdanau")
        self.decoder = decoder
        hidden, embedding = decoder.layers[-1].hidden_size, decoder.embedding.embedding_dim
        self.gate = Linear(memory_features + hidden + embedding, 1)

    @property
    def output(self) -> nn.Linear:
        """The layer of the vocabulary."""
        return self.decoder.output

    @property
    def covers(self) -> bool:
        """Whether the attention knows what has been looked at."""
        return isinstance(self.decoder.attention, CoverageAttention)

    def start(self, memory: Memory, *, packed: PackedWeights | None = None) -> PointerState:
        """See `models.protocols.StepDecoder`."""
        copies = _copies(memory)
        largest = int(copies.max()) + 1 if copies.numel() else 0
        return PointerState(
            self.decoder.start(memory, packed=packed), copies, max(self.decoder.output.out_features, largest)
        )

    def step(self, token: Int[Tensor, "batch beam"], state: PointerState, *, need_weights: bool = True) -> Step:
        """Read `token` and score the next one, with what only copying can say; the weights are the attention."""
        looked = self.decoder.look(token, state.recurrent, need_weights=True)
        assert looked.weights is not None
        generated = self.output(looked.features, looked.state.loop.packed)
        log_probs = self._mixed(generated, looked.weights, self.gate_of(looked.view), state)
        return Step(log_probs, looked.weights if need_weights else None, replace(state, recurrent=looked.state))

    def gate_of(self, view: DecoderView) -> Float[Tensor, "*batch"]:
        """The logit of g: above 0 where the token is more likely said than copied."""
        assert view.context is not None
        return precise(self.gate(torch.cat([view.context, view.current, view.embedded], dim=-1)).squeeze(-1))

    def _mixed(
        self,
        generated: Float[Tensor, "batch steps vocab"],
        weights: Float[Tensor, "batch steps source"],
        gate: Float[Tensor, "batch steps"],
        state: PointerState,
    ) -> Float[Tensor, "batch steps extended"]:
        """log P of every token, -inf for what is neither in the vocabulary nor in the source."""
        gate = gate.unsqueeze(-1)
        said = F.logsigmoid(gate) + precise(generated).log_softmax(-1)
        said = F.pad(said, (0, state.vocabulary - said.shape[-1]), value=-math.inf)
        copies = state.copies.unsqueeze(1).expand(weights.shape)
        copied = torch.zeros_like(said).scatter_add(-1, copies, precise(weights))
        return torch.logaddexp(said, F.logsigmoid(-gate) + copied.log())


class PointerEncoderDecoder(EncoderDecoder):
    """An encoder with a `PointerDecoder`. What it gives of each token are log-probabilities, already normalised.

    target_ids: of each entry of the source vocabulary, its id in a target.
    """

    decoder: PointerDecoder
    target_ids: Tensor

    def __init__(self, encoder: nn.Module, decoder: PointerDecoder, target_ids: Int[Tensor, "entries"]) -> None:
        super().__init__(encoder, decoder)
        self.register_buffer("target_ids", target_ids, persistent=False)
        self.entries = max(decoder.output.out_features, int(max(target_ids.tolist())) + 1)

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> Memory:
        """The sources as the encoder has read them, and what can be copied from them."""
        known = len(self.target_ids)
        copies = self.target_ids[source.clamp(max=known - 1)]
        copies = torch.where(source < known, copies, self.entries + source - known)
        return super().encode(source, lengths)._replace(copies=copies)

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target extended"]:
        """Teacher-forced log-probabilities of the token after each of `target`, begin token first."""
        memory = self.encode(source, lengths)
        trace, state = self.decoder.decoder.trace(memory, target), self.decoder.start(memory)
        assert trace.weights is not None
        return self.decoder._mixed(trace.logits, trace.weights, self.decoder.gate_of(trace.views), state)

    def loss(
        self,
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, ""]:
        """See `models.protocols.Likelihood`; with coverage, sum_j min(a_tj, c_tj) of every step t is added to it.

        That is what was looked at again (equation 12), here with lambda = 1 and from the start of training.
        """
        memory = self.encode(source, lengths)
        trace = self.decoder.decoder.trace(memory, target)
        assert trace.weights is not None
        loss = -self._said(memory, trace, labels, asked).sum()
        if self.decoder.covers:
            looked = precise(trace.weights)
            loss = loss + torch.minimum(looked[asked], (looked.cumsum(1) - looked)[asked]).sum()
        return loss

    def log_probs(
        self,
        labels: Int[Tensor, "batch target"],
        asked: Bool[Tensor, "batch target"],
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target"]:
        """log p (natural) of each label given the labels before it, with finite gradients; 0 where it is not asked."""
        memory = self.encode(source, lengths)
        found = self._said(memory, self.decoder.decoder.trace(memory, target), labels, asked)
        return found.new_zeros(asked.shape).index_put((asked,), found)

    def _said(
        self, memory: Memory, trace: Trace, labels: Int[Tensor, "batch target"], asked: Bool[Tensor, "batch target"]
    ) -> Float[Tensor, "asked"]:
        """log p of the asked labels."""
        assert trace.weights is not None
        gate, weights = self.decoder.gate_of(trace.views)[asked], precise(trace.weights)[asked]
        labels, copies = labels[asked], _copies(memory).unsqueeze(1).expand(trace.weights.shape)[asked]
        logits = precise(trace.logits[asked])
        inside = labels < logits.shape[-1]
        said = logits.gather(-1, labels.where(inside, 0)[:, None]).squeeze(-1) - logits.logsumexp(-1)
        copied = weights.where(copies == labels[:, None], 0.0).sum(-1)
        copied = copied.clamp(min=torch.finfo(copied.dtype).tiny).log()
        return torch.logaddexp(
            (F.logsigmoid(gate) + said).masked_fill(~inside, _IMPOSSIBLE), F.logsigmoid(-gate) + copied
        )

    def copied(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target"]:
        """1 - g: the probability that each token of an output was copied, before it is known which. target: as read."""
        trace = self.decoder.decoder.trace(self.encode(source, lengths), target)
        return self.decoder.gate_of(trace.views).neg().sigmoid()

    def copied_from(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, "batch"],
        target: Int[Tensor, "batch target"],
        labels: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target source"]:
        """(1 - g_t) a_tj where source token j is label t, and 0 elsewhere: how probable it is said as a copy of j."""
        memory = self.encode(source, lengths)
        trace = self.decoder.decoder.trace(memory, target)
        assert trace.weights is not None
        shares = self.decoder.gate_of(trace.views).neg().sigmoid().unsqueeze(2)
        same = _copies(memory).unsqueeze(1) == labels.unsqueeze(2)
        return (shares * precise(trace.weights)).masked_fill(~same, 0.0)


def with_pointer(
    model: EncoderDecoder, *, target_ids: Sequence[int], unknown: tuple[int, int]
) -> PointerEncoderDecoder:
    """The model as one that copies. unknown: the unknown token of the source vocabulary, and of the target's.

    Raises ValueError for a decoder that is not recurrent, or has no attention.
    """
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(decoder, RecurrentDecoder):
        raise ValueError("copy is for recurrent decoders")
    embedding = encoder.embedding
    if isinstance(encoder, TransformerEncoder):
        encoder.embedding.tokens = OpenEmbedding(encoder.embedding.tokens, unknown=unknown[0])
    else:
        assert isinstance(embedding, nn.Embedding)
        encoder.embedding = OpenEmbedding(embedding, unknown=unknown[0])
    decoder.embedding = OpenEmbedding(decoder.embedding, unknown=unknown[1])
    pointer = PointerDecoder(decoder, memory_features=encoder.features)  # type: ignore[arg-type]
    return PointerEncoderDecoder(encoder, pointer, torch.tensor(target_ids))


_IMPOSSIBLE = -1e30
"""Stands for log 0, with finite gradients."""


def _copies(memory: Memory) -> Any:
    if memory.copies is None:
        raise ValueError("the memory must hold what can be copied; make it with the model's encode")
    return memory.copies
