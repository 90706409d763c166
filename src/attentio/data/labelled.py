"""Texts with a label for the whole or for each word, as rows of tokens."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from attentio.data.batches import IGNORE_INDEX, epoch_batches, pad_rows
from attentio.data.pairs import Pair
from attentio.text.protocol import AnyTokenizer


class WordRow(NamedTuple):
    """ids: begin, tokens, end. starts: the place of the first token of each word."""

    ids: list[int]
    starts: list[int]


class LabelledBatch(NamedTuple):
    """Rows whose labels are asked for.

    inputs: token ids, then padding, [batch, positions]; and the real tokens of each row, [batch].
    labels: the ids of the labels where they are asked for, IGNORE_INDEX elsewhere. size: real tokens.
    """

    inputs: tuple[Int[Tensor, "batch positions"], Int[Tensor, "batch"]]
    labels: Int[Tensor, "batch positions"]
    size: int


def word_rows(texts: Iterable[str], tokenizer: AnyTokenizer, *, block: int) -> list[list[WordRow]]:
    """For each text its words as rows of at most `block` tokens; a longer word is cut.

    Each word is encoded by itself, so that its first token is known; between words made of letters stands a space.
    """
    split = [text.split() for text in texts]
    distinct = list(dict.fromkeys(word for words in split for word in words))
    known = dict(zip(distinct, tokenizer.encode_all(distinct), strict=True))
    between = tokenizer.encode(" ") if getattr(tokenizer, "kind", None) == "char" else []
    return [_rows([known[word] for word in words], between, tokenizer, block - 2) for words in split]


def _rows(words: Sequence[list[int]], between: list[int], tokenizer: AnyTokenizer, room: int) -> list[WordRow]:
    begin, end = tokenizer.begin, tokenizer.end
    if begin is None or end is None:
        raise ValueError("tokenizer must have a begin and an end token")
    rows: list[WordRow] = []
    ids: list[int] = []
    starts: list[int] = []
    for word in words:
        word = word[:room] or [tokenizer.unknown or begin]
        if starts and len(ids) + len(between) + len(word) > room:
            rows.append(WordRow([begin, *ids, end], starts))
            ids, starts = [], []
        ids = [*ids, *between] if starts else ids
        starts = [*starts, 1 + len(ids)]
        ids = [*ids, *word]
    return [*rows, WordRow([begin, *ids, end], starts)]


class LabelledTexts:
    """Rows with their labels, in batches.

    each_word: whether a label belongs to each word, and is asked for at its first token; else it belongs to the text,
    and is asked for at the begin token of its first row, which is all that is read of it.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        tokenizer: AnyTokenizer,
        labels: AnyTokenizer,
        *,
        each_word: bool,
        block: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        self._batch_tokens, self._seed = batch_tokens, seed
        self._rows: list[tuple[list[int], list[int]]] = []
        # Labels are counted by all that Python takes for white space, which is more than a tokenizer does.
        asked_of = labels.encode_all(" ".join(pair.target.split()) for pair in pairs)
        of_texts = word_rows((pair.source for pair in pairs), tokenizer, block=block)
        for rows, wanted in zip(of_texts, asked_of, strict=True):
            if not each_word:
                ids = rows[0].ids
                self._rows.append((ids, [*wanted[:1], *[IGNORE_INDEX] * (len(ids) - 1)]))
                continue
            left = iter(wanted)
            for ids, starts in rows:
                asked = [IGNORE_INDEX] * len(ids)
                for start in starts:
                    asked[start] = next(left)
                self._rows.append((ids, asked))
        self.lengths = np.array([len(ids) for ids, _ in self._rows])

    def __len__(self) -> int:
        return len(self._rows)

    def epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch; every row once, those of like length together."""
        return epoch_batches(self.lengths, self.lengths, batch_tokens=self._batch_tokens, seed=self._seed, epoch=epoch)

    def load(self, indices: Int[np.ndarray, "batch"], epoch: int) -> LabelledBatch:
        """The rows with these numbers."""
        ids, labels = zip(*(self._rows[i] for i in indices), strict=True)
        lengths = torch.from_numpy(self.lengths[indices])
        asked = pad_rows(labels, padding=IGNORE_INDEX)
        return LabelledBatch((pad_rows(ids), lengths), asked, int(lengths.sum()))
