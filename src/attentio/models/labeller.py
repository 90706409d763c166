"""The labeller: an encoder that says what a text is, or each of its words (Devlin et al. 2019, section 4)."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.attention.mask import Mask
from attentio.layers.linear import Linear
from attentio.layers.token_embedding import TokenEmbedding, positions_of
from attentio.layers.transformer_block import BlockWeights
from attentio.layers.transformer_stack import Stacked, TransformerStack
from attentio.models.transformer import real_keys


class Labeller(nn.Module):
    """logits = output(dropout(encoder(tokens)))

    Its parts are called as those of `MaskedLM`, so that it can begin with its weights. Rows are expected as begin,
    tokens, end, then padding. The label of a text is asked for at the begin token, that of a word at its first token.
    """

    def __init__(self, embedding: TokenEmbedding, stack: TransformerStack, output: Linear, *, dropout: float) -> None:
        super().__init__()
        self.embedding, self.stack, self.labels = embedding, stack, output
        self.dropout = nn.Dropout(dropout)

    @property
    def output(self) -> nn.Linear:
        """The layer that turns features into logits over the labels."""
        return self.labels

    def features(
        self, tokens: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], allowed: Mask | None = None
    ) -> Float[Tensor, "batch length width"]:
        """What `output` turns into the logits of the label at each position.

        allowed: which keys each position may attend to, of those of its text; None for all.
        """
        return self.dropout(self._read(tokens, lengths, allowed, need_weights=False).outputs)

    def forward(
        self, tokens: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"], allowed: Mask | None = None
    ) -> Float[Tensor, "batch length labels"]:
        """Logits (not probabilities) of the label at each position; arguments as `features`."""
        return self.output(self.features(tokens, lengths, allowed))

    def attention(self, tokens: Int[Tensor, "batch length"], lengths: Int[Tensor, "batch"]) -> tuple[BlockWeights, ...]:
        """Each block's self-attention."""
        return self._read(tokens, lengths, None, need_weights=True).weights

    def _read(self, tokens: Tensor, lengths: Tensor, allowed: Mask | None, *, need_weights: bool) -> Stacked:
        positions = positions_of(tokens)
        mask = real_keys(lengths, tokens.shape[1], allowed)
        return self.stack(self.embedding(tokens, positions), positions, mask, need_weights=need_weights)
