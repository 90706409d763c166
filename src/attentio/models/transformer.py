"""The Transformer's encoder and decoder (Vaswani et al. 2017).

Either goes together with a recurrent partner: the encoder gives a `Memory` as any encoder does, the decoder reads one.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.mask import Mask, padding
from attentio.attention.transforms import writing_onnx
from attentio.layers.cache import KeyValueCache, Slots
from attentio.layers.linear import Linear
from attentio.layers.multihead import MultiheadSource
from attentio.layers.packed import PackedWeights
from attentio.layers.token_embedding import TokenEmbedding, positions_of
from attentio.layers.transformer_block import BlockWeights
from attentio.layers.transformer_stack import TransformerStack
from attentio.models.memory import Memory
from attentio.models.protocols import Step


def real_keys(lengths: Int[Tensor, "batch"], width: int, allowed: Mask | None = None) -> Mask | None:
    """The padding of a batch `width` wide; None where every row is full, which is faster.

    allowed: which of the real keys may be attended to; None for all.
    """
    if not writing_onnx() and lengths.numel() and int(lengths.min()) >= width:
        return allowed
    return padding(lengths) if allowed is None else padding(lengths) & allowed


class TransformerEncoder(nn.Module):
    """Self-attention over the source. features: of its outputs and of its summary."""

    def __init__(self, embedding: TokenEmbedding, stack: TransformerStack) -> None:
        super().__init__()
        self.embedding, self.stack = embedding, stack
        self.features = self.summary_features = embedding.tokens.embedding_dim

    def forward(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> Memory:
        """Returns the memory; its summary, for a recurrent decoder, is the mean over the real positions."""
        positions = positions_of(source)
        mask = real_keys(lengths, source.shape[1])
        outputs = self.stack(self.embedding(source, positions), positions, mask).outputs
        if mask is not None:
            outputs = outputs.masked_fill((positions >= lengths[:, None]).unsqueeze(2), 0.0)
        return Memory(outputs, lengths, outputs.sum(1) / lengths[:, None])

    def attention(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, "batch"]) -> tuple[BlockWeights, ...]:
        """Each block's self-attention."""
        positions = positions_of(source)
        mask = real_keys(lengths, source.shape[1])
        return self.stack(self.embedding(source, positions), positions, mask, need_weights=True).weights


@dataclass(frozen=True)
class TransformerState:
    """Where a decoder stands between two tokens; the source belongs to the sentence, the caches to all hypotheses.

    packed: see `models.protocols.StepDecoder`.
    """

    sources: tuple[MultiheadSource, ...]
    lengths: Int[Tensor, "batch"]
    slots: Slots
    caches: tuple[KeyValueCache, ...]
    packed: PackedWeights | None

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "TransformerState":
        """See `models.protocols.DecoderState`. Only the mask of slots is moved, no keys and no values."""
        return replace(self, slots=self.slots.reorder(parents))

    def keep(self, rows: Int[Tensor, "kept"]) -> "TransformerState":
        """See `models.protocols.DecoderState`."""
        lengths = self.lengths[rows]
        mask = real_keys(lengths, self.sources[0].keys.shape[2])
        sources = tuple(MultiheadSource(one.keys[rows], one.values[rows], mask).for_steps() for one in self.sources)
        caches = tuple(cache.keep(rows) for cache in self.caches)
        return TransformerState(sources, lengths, self.slots.keep(rows), caches, self.packed)


class TransformerDecoder(nn.Module):
    """Causal self-attention over the target, cross-attention to the source."""

    def __init__(self, embedding: TokenEmbedding, stack: TransformerStack, output: Linear) -> None:
        super().__init__()
        self.embedding, self.stack, self.output = embedding, stack, output

    def features(self, memory: Memory, target: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target width"]:
        """Teacher-forced: what `output` turns into the logits of the token after each of `target`."""
        positions = positions_of(target)
        embedded = self.embedding(target, positions)
        return self.stack(embedded, positions, None, self._sources(memory)).outputs

    def attention(self, memory: Memory, target: Int[Tensor, "batch target"]) -> tuple[BlockWeights, ...]:
        """Each block's self-attention and cross-attention, teacher-forced."""
        positions = positions_of(target)
        embedded = self.embedding(target, positions)
        return self.stack(embedded, positions, None, self._sources(memory), need_weights=True).weights

    def start(self, memory: Memory, *, packed: PackedWeights | None = None) -> TransformerState:
        """The state before the first token: keys and values of the source, made once."""
        slots = Slots.read(0, memory.outputs.device)
        caches = self.stack.empty_caches(memory.outputs.shape[0], memory.outputs)
        sources = tuple(source.for_steps() for source in self._sources(memory))
        return TransformerState(sources, memory.lengths, slots, caches, packed)

    def step(self, token: Int[Tensor, "batch beam"], state: TransformerState, *, need_weights: bool = True) -> Step:
        """Read `token` and score the next one; the weights are the last block's cross-attention, mean over heads."""
        slots = state.slots.append(*token.shape)
        embedded = self.embedding(token, slots.positions[-1:].expand(token.shape[1]))
        stacked, caches = self.stack.step(
            embedded, slots, state.caches, state.sources, packed=state.packed, need_weights=need_weights
        )
        cross = stacked.weights[-1].cross
        weights = None if cross is None else cross.mean(dim=1)
        logits = self.output(stacked.outputs, state.packed)
        return Step(logits, weights, replace(state, slots=slots, caches=caches))

    def _sources(self, memory: Memory) -> tuple[MultiheadSource, ...]:
        return self.stack.prepare(memory.outputs, real_keys(memory.lengths, memory.outputs.shape[1]))
