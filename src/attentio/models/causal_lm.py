"""The causal language model: a decoder alone, which says what comes next (Radford et al. 2019, GPT-2)."""

from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.mask import Mask
from attentio.attention.mask import segments as same_segment
from attentio.layers.cache import KeyValueCache, Slots
from attentio.layers.linear import Linear
from attentio.layers.packed import PackedWeights
from attentio.layers.token_embedding import TokenEmbedding, positions_of
from attentio.layers.transformer_block import BlockWeights
from attentio.layers.transformer_stack import Stacked, TransformerStack
from attentio.models.protocols import Step


@dataclass(frozen=True)
class CausalState:
    """What has been read so far, and the packed weights to read on with."""

    slots: Slots
    caches: tuple[KeyValueCache, ...]
    packed: PackedWeights | None

    def reorder(self, parents: Int[Tensor, "batch new_beam"]) -> "CausalState":
        """See `models.protocols.DecoderState`. Only the mask of slots is moved, no keys and no values."""
        return replace(self, slots=self.slots.reorder(parents))

    def keep(self, rows: Int[Tensor, "kept"]) -> "CausalState":
        """See `models.protocols.DecoderState`."""
        caches = tuple(cache.keep(rows) for cache in self.caches)
        return replace(self, slots=self.slots.keep(rows), caches=caches)


class CausalLM(nn.Module):
    """logits = output(stack(embedding(tokens))), where no position sees a later one.

    Several documents packed in one row stay apart when `segments` numbers them: no position sees another document,
    and positions are counted in each anew.
    """

    def __init__(self, embedding: TokenEmbedding, stack: TransformerStack, output: Linear) -> None:
        super().__init__()
        self.embedding, self.stack, self.output = embedding, stack, output

    def features(
        self,
        tokens: Int[Tensor, "batch length"],
        segments: Int[Tensor, "batch length"] | None = None,
        positions: Int[Tensor, "batch length"] | None = None,
        allowed: Mask | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """What `output` turns into the logits of the token after each position.

        segments: number of the document that each token belongs to; None for one document a row.
        positions: of each token in its document, from 0; None for those of the row.
        allowed: which of the keys before it each position may attend to; None for all.
        """
        return self._read(tokens, segments, positions, allowed, need_weights=False).outputs

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        segments: Int[Tensor, "batch length"] | None = None,
        positions: Int[Tensor, "batch length"] | None = None,
        allowed: Mask | None = None,
    ) -> Float[Tensor, "batch length vocab"]:
        """Logits (not probabilities) of the token after each position; arguments as `features`."""
        return self.output(self.features(tokens, segments, positions, allowed))

    def attention(self, tokens: Int[Tensor, "batch length"]) -> tuple[BlockWeights, ...]:
        """Each block's self-attention."""
        return self._read(tokens, None, None, None, need_weights=True).weights

    def start(self, prompt: Int[Tensor, "batch length"], *, packed: PackedWeights | None = None) -> CausalState:
        """The state after a prompt, which may be empty, with one hypothesis per row."""
        positions = positions_of(prompt)
        _, caches = self.stack.read(self.embedding(prompt, positions), positions, packed)
        return CausalState(Slots.read(prompt.shape[1], prompt.device), caches, packed)

    def step(self, token: Int[Tensor, "batch beam"], state: CausalState, *, need_weights: bool = True) -> Step:
        """Read `token` and score the next one; the weights, over all slots, are the last block's mean over heads."""
        slots = state.slots.append(*token.shape)
        embedded = self.embedding(token, slots.positions[-1:].expand(token.shape[1]))
        stacked, caches = self.stack.step(embedded, slots, state.caches, packed=state.packed, need_weights=need_weights)
        own = stacked.weights[-1].own
        logits, weights = self.output(stacked.outputs, state.packed), None if own is None else own.mean(dim=1)
        return Step(logits, weights, replace(state, slots=slots, caches=caches))

    def _read(
        self,
        tokens: Tensor,
        segments: Tensor | None,
        positions: Tensor | None,
        allowed: Mask | None,
        *,
        need_weights: bool,
    ) -> Stacked:
        if positions is None:
            positions = positions_of(tokens)
        if segments is not None:
            together = same_segment(segments, segments)
            allowed = together if allowed is None else together & allowed
        return self.stack(self.embedding(tokens, positions), positions, allowed, need_weights=need_weights)
