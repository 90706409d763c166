"""The masked language model: an encoder that says what stands in the holes of a text (Devlin et al. 2019, BERT)."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.mask import Mask
from attentio.layers.feed_forward import Activation, activate
from attentio.layers.linear import Linear
from attentio.layers.token_embedding import TokenEmbedding, positions_of
from attentio.layers.transformer_block import BlockWeights
from attentio.layers.transformer_stack import Stacked, TransformerStack
from attentio.models.transformer import real_keys


class MaskedLM(nn.Module):
    """logits = output(norm(activation(dense(encoder(tokens)))))

    The head is that of BERT's published code; the paper does not describe it. The output layer's weight is the
    embedding's. Rows are expected as begin, tokens, end, then padding.
    """

    def __init__(
        self,
        embedding: TokenEmbedding,
        stack: TransformerStack,
        *,
        activation: Activation,
        norm: nn.Module,
        output: nn.Linear,
    ) -> None:
        super().__init__()
        width = embedding.tokens.embedding_dim
        self.embedding, self.stack = embedding, stack
        self.dense, self.norm, self.output = Linear(width, width), norm, output
        self.activation: Activation = activation

    def features(
        self, tokens: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], allowed: Mask | None = None
    ) -> Float[Tensor, "batch length width"]:
        """What `output` turns into the logits of the token at each position itself.

        allowed: which keys each position may attend to, of those of its text; None for all.
        """
        return self.head(self._read(tokens, lengths, allowed, need_weights=False).outputs)

    def head(self, hidden: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """What `output` turns into logits, of what the encoder gives out."""
        return self.norm(activate(self.dense(hidden), self.activation))

    def forward(
        self, tokens: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], allowed: Mask | None = None
    ) -> Float[Tensor, "batch length vocab"]:
        """Logits (not probabilities) of the token at each position; arguments as `features`."""
        return self.output(self.features(tokens, lengths, allowed))

    def attention(self, tokens: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"]) -> tuple[BlockWeights, ...]:
        """Each block's self-attention."""
        return self._read(tokens, lengths, None, need_weights=True).weights

    def _read(self, tokens: Tensor, lengths: Tensor, allowed: Mask | None, *, need_weights: bool) -> Stacked:
        positions = positions_of(tokens)
        mask = real_keys(lengths, tokens.shape[1], allowed)
        return self.stack(self.embedding(tokens, positions), positions, mask, need_weights=need_weights)
