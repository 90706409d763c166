"""Given pairs aligned by a model that translates: made to say the target, it shows what it looks at for each token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attentio.commands.language import AnyTokenizer
from attentio.data.batches import length_sorted_batches
from attentio.decoding.forced import forced_weights, shifted_right
from attentio.errors import AttentioError
from attentio.evaluation.alignment import shifted
from attentio.inspection.words import join_words, spans, word_starts, word_text
from attentio.models.memory import Memory
from attentio.models.transformer import TransformerDecoder
from attentio.text.tokenizer import PAD, Tokenizer

if TYPE_CHECKING:
    from attentio.commands.run import Run


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

    def matrix(self, *, words: bool = False, shift: bool = False) -> Float[Tensor, "target source"]:
        """What links are read off: a row for each token of the target, a column for each of the source and for its end.

        A token that looks at the end most has no counterpart. words: between words (`inspection.words.join_words`)
        rather than tokens. shift: the attention of the step that reads a token (`evaluation.alignment.shifted`).
        """
        weights = shifted(self.attention, by=1) if shift else self.attention
        if not words:
            return weights[:-1]
        end = len(self.source_tokens) - 1
        return join_words(weights, target=self.words, source=[*self.source_words, range(end, end + 1)])


def align(run: "Run", pairs: Sequence[tuple[str, str]], *, layer: int | None = None) -> list[Aligned]:
    """The attention of each pair of source and target, in order; `Run.align` explains."""
    sources = _encoded(run.tokenizers.source, [source for source, _ in pairs])
    targets = _encoded(run.tokenizers.target, [target for _, target in pairs])
    found: list[Aligned | None] = [None] * len(pairs)
    lengths = np.array([len(source) for source in sources], dtype=np.int64)
    for indices in length_sorted_batches(lengths, batch_size=run.config.decoding.batch_size):
        numbers = indices.tolist()
        attention = _attention(run, [sources[i] for i in numbers], [targets[i] for i in numbers], layer)
        for row, i in enumerate(numbers):
            source, target = sources[i], targets[i]
            source_tokens, tokens = run.tokenizers.source.tokens(source), run.tokenizers.target.tokens(target)
            found[i] = Aligned(
                source_tokens=source_tokens,
                tokens=tokens,
                source_words=_words(run.tokenizers.source, source[:-1], source_tokens[:-1]),
                words=_words(run.tokenizers.target, target[:-1], tokens[:-1]),
                attention=attention[row, : len(target), : len(source)],
            )
    return [one for one in found if one is not None]


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [[*ids, tokenizer.end] for ids in tokenizer.encode_all(texts)]


def _attention(
    run: "Run", sources: list[list[int]], targets: list[list[int]], layer: int | None
) -> Float[Tensor, "batch target source"]:
    device = next(run.model.parameters()).device
    lengths = torch.tensor([len(source) for source in sources], device=device)
    source, target = _padded(sources, device), _padded(targets, device)
    begin = run.tokenizers.target.begin
    with torch.inference_mode():
        memory = run.model.encode(source, lengths)
        if layer is None:
            weights = forced_weights(run.model, run.model.start(memory), target, begin=begin)
        else:
            weights = _of_layer(run.model.decoder, memory, shifted_right(target, begin), layer)
    if weights is None:
        raise AttentioError(f"{run.path} was trained without attention, so it aligns nothing")
    return weights.cpu()


def _of_layer(decoder: nn.Module, memory: Memory, read: Tensor, layer: int) -> Tensor | None:
    if not isinstance(decoder, TransformerDecoder):
        raise AttentioError("a layer can be chosen in Transformer decoders only; leave it out")
    if not 1 <= layer <= len(decoder.stack.blocks):
        raise AttentioError(f"layer {layer}: the decoder has {len(decoder.stack.blocks)} of them")
    cross = decoder.attention(memory, read)[layer - 1].cross
    return None if cross is None else cross.mean(dim=1)


def _padded(rows: list[list[int]], device: torch.device) -> Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD).to(device)


def _words(tokenizer: AnyTokenizer, ids: Sequence[int], tokens: Sequence[str]) -> list[range]:
    """Of tokens without the end; white space, a word of its own to some tokenizers, is none."""
    starts = tokenizer.word_starts(ids) if isinstance(tokenizer, Tokenizer) else word_starts(tokens)
    return [word for word in spans(starts) if word_text([tokens[i] for i in word])]
