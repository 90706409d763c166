"""BPE-dropout: words in other pieces each time that they are read (Provilkov et al. 2020, section 3, algorithm 1)."""

import json
from collections.abc import Iterable
from functools import lru_cache
from heapq import heappop, heappush
from random import Random

from attentio.text.featured import FeaturedTokenizer
from attentio.text.reserved import UNK
from attentio.text.tokenizer import Tokenizer

_WORDS = 2**16
"""Whose letters are remembered: the frequent ones come again at once."""


_GONE = -1


def with_dropout(tokenizer: Tokenizer, probability: float, random: Random) -> Tokenizer:
    """A tokenizer, of the kind bpe, which leaves merges out when it encodes; its features of sources stay whole."""
    if not probability:
        return tokenizer
    if isinstance(tokenizer, FeaturedTokenizer):
        return FeaturedTokenizer(_BpeDropout(tokenizer.plain, probability, random), tokenizer.features)
    return _BpeDropout(tokenizer, probability, random)


class _BpeDropout(Tokenizer):
    """A tokenizer of the kind bpe. Before each merge of a word, each merge that could be the next one is left out with
    this probability; where all are, the word stays as it is.

    The `tokenizers` library has this too, with chance that takes no seed: a training could not be done again.
    """

    def __init__(self, tokenizer: Tokenizer, probability: float, random: Random) -> None:
        super().__init__(kind=tokenizer.kind, jamo=tokenizer.jamo, mask=tokenizer.mask is not None, core=tokenizer.core)
        self.probability, self.random = probability, random
        model = json.loads(tokenizer.core.to_str())["model"]
        ids = model["vocab"]
        self._merges = {
            (ids[left], ids[right]): (rank, ids[left + right]) for rank, (left, right) in enumerate(model["merges"])
        }
        self._letters = lru_cache(_WORDS)(lambda word: tuple(ids.get(letter, UNK) for letter in word))

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """See `Tokenizer`."""
        words_of = self.core.pre_tokenizer.pre_tokenize_str
        return [
            [piece for word, _ in words_of(text) for piece in self._pieces(word)] for text in map(self.prepared, texts)
        ]

    def _pieces(self, word: str) -> list[int]:
        pieces = [*self._letters(word)]
        end = len(pieces)
        before, after = [*range(-1, end - 1)], [*range(1, end + 1)]  # the neighbours of each piece that is still there
        candidates: list[tuple[int, int, int, int, int]] = []  # rank, place, what it makes, and of which two

        def consider(place: int) -> None:
            if place >= 0 and after[place] < end:
                pair = pieces[place], pieces[after[place]]
                if (merge := self._merges.get(pair)) is not None:
                    rank, made = merge
                    heappush(candidates, (rank, place, made, *pair))

        for place in range(end):
            consider(place)
        left_out = []
        while candidates:
            candidate = _, place, made, left, right = heappop(candidates)
            gone = after[place]
            if gone >= end or (pieces[place], pieces[gone]) != (left, right):
                continue  # one of the two is part of another piece by now
            if self.random.random() < self.probability:
                left_out.append(candidate)
                continue
            pieces[place], pieces[gone] = made, _GONE
            after[place] = after[gone]
            if after[gone] < end:
                before[after[gone]] = place
            consider(place)
            consider(before[place])
            for each in left_out:
                heappush(candidates, each)
            left_out = []
        return [piece for piece in pieces if piece != _GONE]
