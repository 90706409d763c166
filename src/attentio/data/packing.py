"""Documents packed end to end into rows without gaps, for causal language models."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attentio.data.batches import IGNORE_INDEX
from attentio.data.kept import Arrays, Cache, joined, release
from attentio.data.spool import Spool
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import PAD


class PackedBatch(NamedTuple):
    """Full rows, each of one or several segments: pieces of documents that must not see each other.

    inputs: token ids; the number of the segment in its row, from 0, and -1 at padding; and the position in the
        segment, from 0; each [batch, positions].
    labels: the token after each, IGNORE_INDEX at padding.
    size: real tokens.
    """

    inputs: tuple[Int[Tensor, "batch positions"], Int[Tensor, "batch positions"], Int[Tensor, "batch positions"]]
    labels: Int[Tensor, "batch positions"]
    size: int


class PackedTexts:
    """Documents laid end to end and cut into rows of exactly `block` tokens; the last row is padded.

    A document is begin tokens end, and without a begin token the end stands for it. What is laid is begin tokens, each
    with the token after it as its label, so that the end, which nothing follows, is a label only. Hence every token of
    a document but the begin is predicted exactly once in an epoch. A document that a row cuts goes on in another row
    as a segment of its own, which begins with the last token predicted before the cut: the first prediction there has
    one token to go by.

    Documents are shuffled before they are laid, and rows after that, from the seed and the epoch.
    """

    def __init__(
        self,
        documents: Iterable[str],
        tokenizer: AnyTokenizer,
        *,
        block: int,
        batch_tokens: int,
        seed: int,
        cache: Cache | None = None,
    ) -> None:
        """Encode the documents.

        Args:
            documents: text.
            tokenizer: of the model.
            block: length of a row, in tokens.
            batch_tokens: a batch has as many rows as make at most this many tokens, but at least one.
            seed: of the run.
            cache: where the ids of documents that are many (`Spool`) are kept, in files.
        """
        if block < 1:
            raise ValueError(f"block must be positive, got {block}")
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens must be positive, got {batch_tokens}")
        self._block, self._rows_per_batch, self._seed = block, max(1, batch_tokens // block), seed
        if cache is not None and isinstance(documents, Spool):
            made_of = ("packed texts", documents.digest, tokenizer.to_json())
            arrays = cache.arrays(made_of, _ARRAYS, _pieces(cache.track(documents, len(documents)), tokenizer))
        else:
            arrays = joined(_ARRAYS, _pieces(documents, tokenizer))
        self._tokens, self._inputs = arrays["tokens"], arrays["inputs"].astype(np.int64)
        self._starts = np.cumsum(self._inputs + 1) - (self._inputs + 1)
        self._laid_epoch: int | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return -(-int(self._inputs.sum()) // self._block)

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch, every row once. Row n of one epoch is not row n of another."""
        rows = np.random.default_rng([self._seed, epoch, 1]).permutation(len(self))
        return [rows[start : start + self._rows_per_batch] for start in range(0, len(rows), self._rows_per_batch)]

    def load(self, indices: Int[np.ndarray, "batch"], epoch: int) -> PackedBatch:
        """The rows with these numbers in the epoch."""
        order, ends = self._lay(epoch)
        row_starts = indices[:, None] * self._block
        places = row_starts + np.arange(self._block)
        real = places < ends[-1]
        places = np.minimum(places, ends[-1] - 1)
        laid = np.searchsorted(ends, places, side="right")
        documents = order[laid]
        begins = ends[laid] - self._inputs[documents]
        tokens = self._starts[documents] + places - begins

        def padded(values: np.ndarray, padding: int) -> Tensor:
            return torch.from_numpy(np.where(real, values, padding).astype(np.int64))

        batch = PackedBatch(
            inputs=(
                padded(self._tokens[tokens], PAD),
                padded(laid - laid[:, :1], -1),
                padded(places - np.maximum(begins, row_starts), 0),
            ),
            labels=padded(self._tokens[tokens + 1], IGNORE_INDEX),
            size=int(real.sum()),
        )
        release(self._tokens)
        return batch

    def _lay(self, epoch: int) -> tuple[Int[np.ndarray, "documents"], Int[np.ndarray, "documents"]]:
        """The documents in the order of the epoch, and where each ends; kept until another epoch is asked for."""
        if self._laid_epoch != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._inputs))
            self._laid = order, np.cumsum(self._inputs[order])
            self._laid_epoch = epoch
        return self._laid


_ARRAYS = {"tokens": np.int32, "inputs": np.int32}
"""Documents as begin tokens end, one after the other; and how many of each are inputs: all but the end."""
_AT_ONCE = 2**12  # documents


def _pieces(documents: Iterable[str], tokenizer: AnyTokenizer) -> Iterator[Arrays]:
    rest = iter(documents)
    begin = tokenizer.end if tokenizer.begin is None else tokenizer.begin
    while some := list(islice(rest, _AT_ONCE)):
        encoded = tokenizer.encode_all(some)
        yield {
            "tokens": np.fromiter((i for ids in encoded for i in (begin, *ids, tokenizer.end)), np.int32),
            "inputs": np.fromiter((len(ids) + 1 for ids in encoded), np.int32),
        }
