"""What a model of pairs learns from where merges of its pieces are left out, anew in each epoch."""

from random import Random
from typing import Any

from attentio.config.schema import Config
from attentio.data.batches import EncodedPairs, RedrawnPairBatches
from attentio.data.kept import Cache
from attentio.data.part import Part
from attentio.data.spool import Spool
from attentio.errors import AttentioError
from attentio.runs.build import Tokenizers
from attentio.text.bpe_dropout import with_dropout
from attentio.text.tokenizer import Tokenizer


def redrawn(
    config: Config,
    part: Part,
    tokenizers: Tokenizers[Tokenizer],
    pairs: EncodedPairs,
    *,
    seed: int,
    cache: Cache | None,
) -> RedrawnPairBatches:
    """Pairs of which merges are left out. pairs: those of which none is.

    Raises AttentioError where a model has learnt too few positions for them.
    """
    text, transformer, random = config.text, config.model.transformer, Random()

    def encoded(of_source: float, of_target: float) -> EncodedPairs:
        items: Any = part.items
        if cache is not None and isinstance(items, Spool):  # which takes long
            items = cache.track(items, len(items))
        source = with_dropout(tokenizers.source, of_source, random)
        return EncodedPairs.encode(items, source, with_dropout(tokenizers.target, of_target, random))

    if transformer.positions == "learned" and "transformer" in (config.model.encoder, config.model.decoder):
        letters = encoded(float(text.source.bpe_dropout > 0), float(text.of_target.bpe_dropout > 0))
        longest = max(letters.source_lengths.max(), letters.target_lengths.max())
        if longest > transformer.max_length:
            raise AttentioError(
                f"with bpe_dropout a text may be {longest:,} tokens, letter by letter, and "
                f"model.transformer.max_length is {transformer.max_length:,}; raise it"
            )

    def draw(epoch: int) -> EncodedPairs:
        random.seed(f"{seed} {epoch}")
        return encoded(text.source.bpe_dropout, text.of_target.bpe_dropout)

    return RedrawnPairBatches(pairs, draw, batch_tokens=config.training.batch_tokens, seed=seed)
