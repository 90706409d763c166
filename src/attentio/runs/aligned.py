"""Given pairs aligned by a model that translates: made to say the target, it shows what it looks at for each token."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attentio.data.batches import length_sorted_batches, pad_rows
from attentio.decoding.forced import forced_weights, shifted_right
from attentio.errors import AttentioError
from attentio.evaluation.alignment import shifted
from attentio.layers.packed import PackedWeights
from attentio.models.encoder_decoder import EncoderDecoder
from attentio.models.ensemble import Ensemble
from attentio.models.pointer import PointerEncoderDecoder
from attentio.models.protocols import LatentAttention
from attentio.models.transformer import TransformerDecoder
from attentio.notebook import frame, grid
from attentio.pictures.labels import label
from attentio.runs.build import Tokenizers
from attentio.text.protocol import AnyTokenizer
from attentio.text.words import spans, word_text


class Aligned(NamedTuple):
    """A pair and the attention between its tokens.

    source_tokens, tokens: of both sides, the end token last. source_words, words: the tokens of each word, by their
    places; white space and the end token are in none. attention: row t is the attention that produced token t.
    """

    source_tokens: list[str]
    tokens: list[str]
    source_words: list[range]
    words: list[range]
    attention: Float[Tensor, "target source"]

    def __repr__(self) -> str:
        return f"Aligned({len(self.source_tokens)} tokens of the source, {len(self.tokens)} of the target)"

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows, columns = (list(map(label, tokens)) for tokens in (self.tokens, self.source_tokens))
        return frame(repr(self), grid(self.attention, rows=rows, columns=columns))

    def matrix(self, *, words: bool = False, shift: bool = False) -> Float[Tensor, "target source"]:
        """What links are read off: a row for each token of the target, a column for each of the source and for its end.

        A token that looks at the end most has no counterpart. words: between words (`join_words`)
        rather than tokens. shift: the attention of the step that reads a token (`evaluation.alignment.shifted`).
        """
        weights = shifted(self.attention, by=1) if shift else self.attention
        if not words:
            return weights[:-1]
        end = len(self.source_tokens) - 1
        return join_words(weights, target=self.words, source=[*self.source_words, range(end, end + 1)])


def align(
    model: EncoderDecoder | Ensemble,
    tokenizers: Sequence[Tokenizers[AnyTokenizer]],
    sources: Sequence[list[int]],
    targets: Sequence[list[int]],
    *,
    begin: int,
    layer: int | None,
    batch_size: int,
) -> list[Aligned]:
    """The attention of each pair of source and target ids, in order; `Run.align` explains. tokenizers: of each pair."""
    found: list[Aligned | None] = [None] * len(sources)
    lengths = np.array([len(source) for source in sources], dtype=np.int64)
    for indices in length_sorted_batches(lengths, batch_size=batch_size):
        numbers = indices.tolist()
        attention = attention_between(model, [sources[i] for i in numbers], [targets[i] for i in numbers], begin, layer)
        for row, i in enumerate(numbers):
            source, target = sources[i], targets[i]
            of_source, of_target = tokenizers[i].source, tokenizers[i].target
            source_tokens, tokens = of_source.tokens(source), of_target.tokens(target)
            found[i] = Aligned(
                source_tokens=source_tokens,
                tokens=tokens,
                source_words=_words(of_source, source[:-1], source_tokens[:-1]),
                words=_words(of_target, target[:-1], tokens[:-1]),
                attention=attention[row, : len(target), : len(source)],
            )
    return [one for one in found if one is not None]


def attention_between(
    model: EncoderDecoder | Ensemble,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    begin: int,
    layer: int | None = None,
) -> Float[Tensor, "batch target source"]:
    """The attention of a batch; arguments as `align`."""
    source, lengths, target = _padded(model, sources, targets)
    ends = torch.tensor([len(said) for said in targets], device=source.device)
    asked = torch.arange(target.shape[1], device=source.device) < ends[:, None]
    with torch.inference_mode():
        if layer is None:
            weights = _mean_over_layers(model, source, lengths, target, asked, begin)
        else:
            weights = _of_layer(model, model.encode(source, lengths), shifted_right(target, begin), layer)
    if weights is None:
        raise AttentioError("the model was trained without attention, so it aligns nothing")
    return weights.cpu()


def _mean_over_layers(
    model: EncoderDecoder | Ensemble, source: Tensor, lengths: Tensor, target: Tensor, asked: Tensor, begin: int
) -> Tensor | None:
    """asked: the real tokens of target."""
    if isinstance(model, Ensemble):  # not step by step: of some, all that was said tells where they looked
        each = [_mean_over_layers(member, source, lengths, target, asked, begin) for member in model]
        found = [weights for weights in each if weights is not None]
        return torch.stack(found).mean(0) if found else None
    if isinstance(model, LatentAttention):
        return model.posterior(source, lengths, shifted_right(target, begin), target, asked)
    state = model.start(model.encode(source, lengths), packed=PackedWeights())
    return forced_weights(model, state, target, begin=begin)


def copied(
    model: PointerEncoderDecoder, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], begin: int
) -> list[list[float]]:
    """How probable it is of each token of a batch that it is copied; arguments as `align`."""
    source, lengths, target = _padded(model, sources, targets)
    with torch.inference_mode():
        shares = model.copied(source, lengths, shifted_right(target, begin)).tolist()
    return [row[: len(said)] for row, said in zip(shares, targets, strict=True)]


def _padded(
    model: nn.Module, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> tuple[Int[Tensor, "batch source"], Int[Tensor, "batch"], Int[Tensor, "batch target"]]:
    device = next(model.parameters()).device
    lengths = torch.tensor([len(source) for source in sources], device=device)
    return pad_rows(sources).to(device), lengths, pad_rows(targets).to(device)


def _of_layer(model: EncoderDecoder | Ensemble, memory: Any, read: Tensor, layer: int) -> Tensor | None:
    if isinstance(model, Ensemble):
        raise AttentioError("a layer can be chosen in one model, and these are several; leave it out")
    decoder = model.decoder
    if not isinstance(decoder, TransformerDecoder):
        raise AttentioError("a layer can be chosen in Transformer decoders only; leave it out")
    if not 1 <= layer <= len(decoder.stack.blocks):
        raise AttentioError(f"layer {layer}: the decoder has {len(decoder.stack.blocks)} of them")
    cross = decoder.attention(memory, read)[layer - 1].cross
    return None if cross is None else cross.mean(dim=1)


def _words(tokenizer: AnyTokenizer, ids: Sequence[int], tokens: Sequence[str]) -> list[range]:
    """Of tokens without the end; white space, a word of its own to some tokenizers, is none."""
    return [word for word in spans(tokenizer.word_starts(ids)) if word_text([tokens[i] for i in word])]


def join_words(
    weights: Float[Tensor, "*axes target source"], *, target: Sequence[range], source: Sequence[range]
) -> Float[Tensor, "*axes target_words source_words"]:
    """The attention between words: the mean over the pieces that look, of the sum over the pieces that are looked at.

    The pieces of a source word share what the word gets, so their weights are added; the pieces of a target word each
    spread a whole 1, so their rows are averaged. The rows of the result sum to what those of the weights did: 1.

    Args:
        weights: between pieces.
        target, source: the pieces of each word, as `spans` gives them. Pieces that no word has are left out.
    """
    summed = weights @ _membership(source, weights.shape[-1]).to(weights).T
    return _membership(target, weights.shape[-2], mean=True).to(weights) @ summed


def _membership(words: Sequence[range], pieces: int, *, mean: bool = False) -> Float[Tensor, "words pieces"]:
    matrix = torch.zeros(len(words), pieces)
    for row, word in enumerate(words):
        matrix[row, list(word)] = 1 / len(word) if mean else 1
    return matrix
