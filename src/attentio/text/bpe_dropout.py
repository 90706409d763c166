"""BPE-dropout: words in other pieces each time that they are read (Provilkov et al. 2020, section 3, algorithm 1)."""

import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from random import Random

from attentio.errors import AttentioError
from attentio.text.featured import FeaturedTokenizer
from attentio.text.protocol import AnyTokenizer
from attentio.text.reserved import UNK
from attentio.text.tokenizer import Tokenizer

_WORDS = 2**16
"""Whose letters are remembered: the frequent ones come again at once."""


def with_dropout(tokenizer: AnyTokenizer, probability: float, random: Random) -> AnyTokenizer:
    """The tokenizer, which leaves merges out when it encodes; its features of sources stay whole.

    Raises AttentioError for a tokenizer that is not of the kind bpe, or comes from elsewhere.
    """
    if not probability:
        return tokenizer
    if not isinstance(tokenizer, Tokenizer) or tokenizer.kind != "bpe":
        raise AttentioError("bpe_dropout is for tokenizers that were trained here, of the kind bpe; leave it out")
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
        draw, probability = self.random.random, self.probability
        while True:
            merges = [
                (*merge, place)
                for place, pair in enumerate(pairwise(pieces))
                if (merge := self._merges.get(pair)) is not None and draw() >= probability
            ]
            if not merges:
                return pieces
            _, merged, place = min(merges)  # the first that was learnt
            pieces[place : place + 2] = [merged]
