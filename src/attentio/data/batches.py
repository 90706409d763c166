"""Encoded pairs, padded batches of them, and which pairs stand together in a batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from attentio.data.kept import Arrays, Cache, Stored, joined, mapped
from attentio.data.pairs import Pair
from attentio.data.spool import Spool
from attentio.errors import AttentioError
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import BOS, EOS, PAD

_POOL_BATCHES = 50

IGNORE_INDEX = -1
"""The label where nothing is asked for. No id means that: in a vocabulary from elsewhere 0 may be an ordinary token."""


class PairBatch(NamedTuple):
    """Padded token ids of some pairs.

    indices: which pairs.
    source: tokens, the end, then PAD.
    source_lengths: real tokens of each row, the end included.
    target_input: the begin, tokens, then PAD: what the decoder reads.
    target_output: tokens, the end, then PAD: what it is to say, position by position.
    target_lengths: real tokens of each row of either, the end (or the begin) included.
    """

    indices: Int[np.ndarray, "batch"]
    source: Int[Tensor, "batch source"]
    source_lengths: Int[Tensor, "batch"]
    target_input: Int[Tensor, "batch target"]
    target_output: Int[Tensor, "batch target"]
    target_lengths: Int[Tensor, "batch"]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a model's `features` take."""
        return self.source, self.source_lengths, self.target_input

    @property
    def labels(self) -> Int[Tensor, "batch target"]:
        """What is to be predicted, IGNORE_INDEX where nothing is."""
        places = torch.arange(self.target_output.shape[1], device=self.target_output.device)
        return self.target_output.where(places < self.target_lengths[:, None], IGNORE_INDEX)

    @property
    def size(self) -> int:
        """Target tokens, the end included."""
        return int(self.target_lengths.sum())


class Around(NamedTuple):
    """The ids around a pair: at the end of its source, at the begin and at the end of its target."""

    source_end: int = EOS
    begin: int = BOS
    end: int = EOS

    @classmethod
    def of(cls, source: AnyTokenizer, target: AnyTokenizer) -> "Around":
        """As the tokenizers have them; AttentioError where they have not all of them."""
        if source.end is None or target.begin is None or target.end is None:
            raise AttentioError("pairs need an end token of the source, and a begin and an end token of the target")
        return cls(source.end, target.begin, target.end)


OURS = Around()
"""Of the tokenizers that are trained here."""


class EncodedPairs:
    """Pairs as token ids, held in two flat arrays, of files where they are many; each side ends in its end token.

    source_lengths, target_lengths: tokens of each pair, the end included, [pairs].
    """

    def __init__(
        self, *, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], around: Around = OURS
    ) -> None:
        """Take the token ids of each side, without begin and end. around: what stands there."""
        if len(sources) != len(targets):
            raise ValueError(f"sources and targets must be equally many, got {len(sources)} and {len(targets)}")
        self._hold(joined(_ARRAYS, [_piece(sources, targets, around)]), around)

    @classmethod
    def encode(
        cls,
        pairs: Iterable[Pair],
        source_tokenizer: AnyTokenizer,
        target_tokenizer: AnyTokenizer,
        *,
        cache: Cache | None = None,
    ) -> "EncodedPairs":
        """Encode the text of the pairs. cache: where the ids of pairs that are many (`Spool`) are kept, in files."""
        encoded = cls.__new__(cls)
        tokenizers = (source_tokenizer, target_tokenizer)
        around = Around.of(*tokenizers)
        if cache is not None and isinstance(pairs, Spool):
            made_of = ("pairs", pairs.digest, *(tokenizer.to_json() for tokenizer in tokenizers))
            files = cache.files(made_of, _ARRAYS, _pieces(cache.track(pairs, len(pairs)), *tokenizers))
            lengths = {f"{side}_lengths": mapped(files / f"{side}_lengths", np.int32) for side in ("source", "target")}
            encoded._hold({side: Stored(files / side, np.int32) for side in ("sources", "targets")} | lengths, around)
        else:
            encoded._hold(joined(_ARRAYS, _pieces(pairs, *tokenizers)), around)
        return encoded

    def _hold(self, arrays: Mapping[str, Any], around: Around) -> None:
        self._begin = around.begin
        self._sources = _Ragged(arrays["sources"], arrays["source_lengths"])
        self._targets = _Ragged(arrays["targets"], arrays["target_lengths"])
        self.source_lengths = self._sources.lengths
        self.target_lengths = self._targets.lengths

    def __len__(self) -> int:
        return len(self.source_lengths)

    def source(self, index: int) -> list[int]:
        """The source of one pair, its end included."""
        return self._sources.row(index)

    def batch(self, indices: Int[np.ndarray, "batch"]) -> PairBatch:
        """The pairs with these numbers, each side padded to the longest of them."""
        source, target_output = self._sources.padded(indices), self._targets.padded(indices)
        said_before = np.arange(1, target_output.shape[1]) < self.target_lengths[indices, None]
        target_input = np.full_like(target_output, self._begin)
        target_input[:, 1:] = np.where(said_before, target_output[:, :-1], PAD)
        return PairBatch(
            indices=indices,
            source=torch.from_numpy(source),
            source_lengths=torch.from_numpy(self.source_lengths[indices].astype(np.int64)),
            target_input=torch.from_numpy(target_input),
            target_output=torch.from_numpy(target_output),
            target_lengths=torch.from_numpy(self.target_lengths[indices].astype(np.int64)),
        )


class PairBatches:
    """What a model is trained on: encoded pairs in batches of at most `batch_tokens`; see `epoch_batches`."""

    def __init__(self, pairs: EncodedPairs, *, batch_tokens: int, seed: int) -> None:
        self.pairs, self.batch_tokens, self.seed = pairs, batch_tokens, seed

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The pairs of each batch; every pair once."""
        pairs = self.of_epoch(epoch)
        lengths = pairs.source_lengths, pairs.target_lengths
        return epoch_batches(*lengths, batch_tokens=self.batch_tokens, seed=self.seed, epoch=epoch)

    def of_epoch(self, epoch: int) -> EncodedPairs:
        """The pairs as they are read in an epoch: here the same in every one."""
        return self.pairs

    def load(self, indices: Int[np.ndarray, "batch"], epoch: int) -> PairBatch:
        """The pairs with these numbers, as they are read in an epoch."""
        return self.of_epoch(epoch).batch(indices)


class RedrawnPairBatches(PairBatches):
    """Batches of pairs that are encoded by chance, anew for each epoch; those of one epoch at a time are held.

    pairs: encoded without chance. draw: the pairs of an epoch, a pure function of its number.
    """

    def __init__(
        self, pairs: EncodedPairs, draw: Callable[[int], EncodedPairs], *, batch_tokens: int, seed: int
    ) -> None:
        super().__init__(pairs, batch_tokens=batch_tokens, seed=seed)
        self._draw, self._drawn = draw, (-1, pairs)

    def of_epoch(self, epoch: int) -> EncodedPairs:
        """See `PairBatches`."""
        if self._drawn[0] != epoch:
            self._drawn = -1, self.pairs  # the last epoch's are gone before the next are made
            self._drawn = epoch, self._draw(epoch)
        return self._drawn[1]


_ARRAYS = {"sources": np.int32, "source_lengths": np.int32, "targets": np.int32, "target_lengths": np.int32}
"""The ids of each side, one pair after the other, an end token after each; and how many each has."""
_AT_ONCE = 2**14  # pairs
_MARKED = 64  # of so many rows, the place of the first is remembered


def _pieces(pairs: Iterable[Pair], source_tokenizer: AnyTokenizer, target_tokenizer: AnyTokenizer) -> Iterator[Arrays]:
    rest, around = iter(pairs), Around.of(source_tokenizer, target_tokenizer)
    while some := list(islice(rest, _AT_ONCE)):
        sources, targets = zip(*some, strict=True)
        yield _piece(source_tokenizer.encode_all(sources), target_tokenizer.encode_all(targets), around)


def _piece(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], around: Around) -> Arrays:
    return {
        "sources": np.fromiter((token for row in sources for token in (*row, around.source_end)), np.int32),
        "source_lengths": np.fromiter((len(row) + 1 for row in sources), np.int32),
        "targets": np.fromiter((token for row in targets for token in (*row, around.end)), np.int32),
        "target_lengths": np.fromiter((len(row) + 1 for row in targets), np.int32),
    }


class _Ragged:
    """Rows of different lengths in one flat array. Where each begins is added up from the last row that is marked."""

    def __init__(self, flat: Int[np.ndarray, "tokens"] | Stored, lengths: Int[np.ndarray, "rows"]) -> None:
        self._flat, self.lengths = flat, lengths
        sums = np.add.reduceat(lengths, np.arange(0, len(lengths), _MARKED), dtype=np.int64)
        self._marks = np.cumsum(sums) - sums

    def row(self, index: int) -> list[int]:
        return self._tokens(np.array([index])).tolist()

    def padded(self, indices: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows width"]:
        lengths = self.lengths[indices]
        columns = np.arange(lengths.max())
        real = columns < lengths[:, None]
        rows = np.full(real.shape, PAD, dtype=np.int64)
        rows[real] = self._tokens(indices)
        return rows

    def _tokens(self, indices: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "tokens"]:
        """Those of the rows, end to end."""
        starts, lengths = self._starts(indices), self.lengths[indices]
        if isinstance(self._flat, Stored):
            return self._flat.runs(starts, lengths)
        before = np.cumsum(lengths) - lengths
        return self._flat[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))]

    def _starts(self, indices: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        marked = indices // _MARKED
        before = marked[:, None] * _MARKED + np.arange(_MARKED)
        lengths = self.lengths[np.minimum(before, len(self.lengths) - 1)]
        return self._marks[marked] + np.where(before < indices[:, None], lengths, 0).sum(1)


def epoch_batches(
    source_lengths: Int[np.ndarray, "pairs"],
    target_lengths: Int[np.ndarray, "pairs"],
    *,
    batch_tokens: int,
    seed: int,
    epoch: int,
) -> list[np.ndarray]:
    """The batches of an epoch, as arrays of pair numbers; a pure function of its arguments.

    Pairs of like length stand together, so that little is padding: all pairs are shuffled, cut into pools of
    about 50 batches, and each pool is sorted by length; then the batches are shuffled. There are at least two
    pools, unless one batch holds everything, so that the batches of two epochs differ.

    Args:
        source_lengths, target_lengths: in tokens.
        batch_tokens: a batch has at most this many tokens on either side, padding included:
            rows * max(longest source, longest target) <= batch_tokens. A longer pair stands alone.
        seed: of the run.
        epoch: from 0.

    Returns:
        Every pair exactly once.
    """
    if batch_tokens < 1:
        raise ValueError(f"batch_tokens must be positive, got {batch_tokens}")
    random = np.random.default_rng([seed, epoch])
    longest = np.maximum(source_lengths, target_lengths)
    shuffled = random.permutation(len(longest))
    per_batch = max(1, batch_tokens * len(longest) // max(1, int(longest.sum())))
    pool = max(per_batch, min(_POOL_BATCHES * per_batch, (len(longest) + 1) // 2))
    batches: list[np.ndarray] = []
    for start in range(0, len(shuffled), pool):
        numbers = shuffled[start : start + pool]
        numbers = numbers[np.lexsort((source_lengths[numbers], longest[numbers]))]
        batches += _cut(numbers, longest[numbers], batch_tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(numbers: np.ndarray, ascending: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    cuts, start = [], 0
    for end, length in enumerate(ascending.tolist()):
        if end > start and (end + 1 - start) * length > batch_tokens:
            cuts.append(end)
            start = end
    return np.split(numbers, cuts)


def pad_rows(rows: Sequence[Sequence[int]], *, padding: int = PAD) -> Int[Tensor, "rows longest"]:
    """Token ids of different lengths as one tensor, the shorter rows padded at the end."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=padding)


def length_sorted_batches(lengths: Int[np.ndarray, "items"], *, batch_size: int) -> list[np.ndarray]:
    """Batches of item numbers for decoding, the longest first, so that memory runs out at once or never."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be positive, got {batch_size}")
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
