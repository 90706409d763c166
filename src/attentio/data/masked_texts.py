"""Documents as rows of tokens with holes, for masked language models."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attentio.config.schema import MaskingConfig
from attentio.data.batches import epoch_batches
from attentio.data.kept import Arrays, Cache, joined, release
from attentio.data.masking import corrupt, draws
from attentio.data.spool import Spool
from attentio.errors import AttentioError
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import PAD


class MaskedBatch(NamedTuple):
    """Rows with holes.

    inputs: ids begin .. end with holes, then padding, [batch, positions]; and the real tokens of each row, [batch].
    labels: the ids asked for, IGNORE_INDEX where nothing is.
    size: real tokens, begin and end included.
    """

    inputs: tuple[Int[Tensor, "batch positions"], Int[Tensor, "batch"]]
    labels: Int[Tensor, "batch positions"]
    size: int


class MaskedTexts:
    """Documents cut into rows of at most `block` tokens, begin and end of each row included.

    The holes of a row are drawn anew in each epoch, from the seed, the epoch and the number of the row alone: not
    from the batch it stands in. So one epoch (0, say) is a fixed set of questions, for validation.

    lengths: tokens of each row, begin and end included, [rows].
    """

    def __init__(
        self,
        documents: Iterable[str],
        tokenizer: AnyTokenizer,
        *,
        masking: MaskingConfig,
        block: int,
        batch_tokens: int,
        seed: int,
        cache: Cache | None = None,
    ) -> None:
        """Encode the documents.

        Args:
            documents: text.
            tokenizer: one with a mask, a begin and an end token.
            masking: how to corrupt.
            block: longest row, in tokens; at least 3.
            batch_tokens: a batch has at most this many, padding included; see `batches.epoch_batches`.
            seed: of the run.
            cache: where the ids of documents that are many (`Spool`) are kept, in files.
        """
        if tokenizer.mask is None:
            raise AttentioError("tokenizer must have a mask id: train it with mask=True")
        if block < 3:
            raise ValueError(f"block must be at least 3, for a begin, a token and an end, got {block}")
        self._tokenizer, self._mask_id = tokenizer, tokenizer.mask
        self._masking, self._batch_tokens, self._seed = masking, batch_tokens, seed
        # Of no length, so that nothing reads it, but never an ordinary token, which might be asked for.
        self._padding = PAD if PAD in tokenizer.special_ids else tokenizer.mask
        self._ordinary = np.setdiff1d(np.arange(tokenizer.size), sorted(tokenizer.special_ids))
        if cache is not None and isinstance(documents, Spool):
            made_of = ("masked texts", documents.digest, tokenizer.to_json())
            arrays = cache.arrays(made_of, _ARRAYS, _pieces(cache.track(documents, len(documents)), tokenizer))
        else:
            arrays = joined(_ARRAYS, _pieces(documents, tokenizer))
        self._tokens, self._word_starts = arrays["tokens"], arrays["word_starts"]
        room = block - 2
        lengths = arrays["lengths"].astype(np.int64)
        rows = -(-lengths // room)  # of each document
        document_of, ends = np.repeat(np.arange(len(rows)), rows), np.cumsum(lengths)
        within = np.arange(len(document_of)) - (np.cumsum(rows) - rows)[document_of]
        self._starts = (ends - lengths)[document_of] + within * room
        self._stops = np.minimum(self._starts + room, ends[document_of])
        self.lengths = self._stops - self._starts + 2

    def __len__(self) -> int:
        return len(self.lengths)

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch; every row once, those of like length together."""
        return epoch_batches(self.lengths, self.lengths, batch_tokens=self._batch_tokens, seed=self._seed, epoch=epoch)

    def load(self, indices: Int[np.ndarray, "batch"], epoch: int) -> MaskedBatch:
        """The rows with these numbers, with the holes of the epoch."""
        lengths = self.lengths[indices]
        columns = np.arange(lengths.max())
        real = (columns > 0) & (columns < lengths[:, None] - 1)
        places = (self._starts[indices, None] + columns - 1)[real]
        tokens = np.full(real.shape, self._padding, dtype=np.int64)
        tokens[:, 0] = self._tokenizer.begin
        tokens[np.arange(len(indices)), lengths - 1] = self._tokenizer.end
        tokens[real] = self._tokens[places]
        word_starts = ~real
        word_starts[real] = self._word_starts[places]
        release(self._tokens, self._word_starts)
        word_starts[:, 1] = True  # a row may begin within a word
        corrupted = corrupt(
            tokens,
            word_starts,
            self._masking,
            mask_id=self._mask_id,
            ordinary=self._ordinary,
            draws=draws(indices, len(columns), seed=self._seed, epoch=epoch),
        )
        return MaskedBatch(
            inputs=(torch.from_numpy(corrupted.inputs), torch.from_numpy(lengths)),
            labels=torch.from_numpy(corrupted.labels),
            size=int(lengths.sum()),
        )


_ARRAYS = {"tokens": np.int32, "word_starts": np.bool_, "lengths": np.int32}
"""The ids of the documents, one after the other; where words begin in them; and how many ids each document has."""
_AT_ONCE = 2**12  # documents


def _pieces(documents: Iterable[str], tokenizer: AnyTokenizer) -> Iterator[Arrays]:
    rest = iter(documents)
    while some := list(islice(rest, _AT_ONCE)):
        encoded = tokenizer.encode_all(some)
        yield {
            "tokens": np.fromiter((i for ids in encoded for i in ids), np.int32),
            "word_starts": np.fromiter((b for ids in encoded for b in tokenizer.word_starts(ids)), np.bool_),
            "lengths": np.fromiter(map(len, encoded), np.int32),
        }
