"""Pairs as token ids, as a model of pairs reads and says them."""

from collections.abc import Sequence
from typing import Any

from attentio.config.schema import Config
from attentio.data.batches import EncodedPairs
from attentio.data.kept import Cache
from attentio.data.pairs import Pair
from attentio.runs.build import Tokenizers
from attentio.text.copying import Copying


def encoded(
    config: Config, pairs: Sequence[Pair], tokenizers: Tokenizers[Any], *, cache: Cache | None = None
) -> EncodedPairs:
    """With `model.copy`, their unknown symbols too, which the model can copy. cache: of pairs that are many."""
    if not config.model.copy:
        return EncodedPairs.encode(pairs, tokenizers.source, tokenizers.target, cache=cache)
    copying = Copying(tokenizers.source, tokenizers.target)
    return EncodedPairs(
        sources=[copying.source_ids(pair.source) for pair in pairs],
        targets=[copying.said_ids(pair.target, pair.source) for pair in pairs],
    )
