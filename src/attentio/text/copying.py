"""Symbols that a vocabulary does not have, carried over from a source to its target."""

from collections.abc import Sequence

from attentio.text import jamo as hangul
from attentio.text.featured import FeaturedTokenizer
from attentio.text.features import parted
from attentio.text.protocol import AnyTokenizer
from attentio.text.tokenizer import EOS, PAD, Tokenizer


class Copying:
    """Ids for a model that copies: behind the entries of a vocabulary stand more, which only copying can say.

    - Of a source, ids from `source.size` on are what the source vocabulary does not know of this text, in order, each
      symbol once.
    - Of a target, ids from `target.size` on are the entries that only the source vocabulary has, the same for all
      texts; behind them stand the unknown symbols of its source.

    Characters, and words between spaces, are the text that they stand for; learnt pieces are not. Features of a source
    are no text: to copy one would be to say nothing.

    target_ids: of each entry of the source vocabulary, its id in a target; PAD of a feature.
    """

    def __init__(self, source: Tokenizer, target: Tokenizer) -> None:
        self.source, self.target = source, target
        entries, said = source.plain.tokens(range(source.plain.size)), target.tokens(range(target.size))
        known = {token: i for i, token in enumerate(said)}
        rest = (token for token in entries if token not in known)
        self._source_only = {token: target.size + i for i, token in enumerate(rest)}
        ids = known | self._source_only
        self.target_ids = [ids[token] for token in entries] + [PAD] * (source.size - source.plain.size)

    def source_ids(self, text: str) -> list[int]:
        """The ids of a source, without its end."""
        words, features = self._text(text), []
        if isinstance(self.source, FeaturedTokenizer):
            features = self.source.feature_ids(text)
        numbers = {symbol: self.source.size + i for i, symbol in enumerate(self.unknown(text))}
        return [*_numbered(self.source.plain, words, numbers), *features]

    def said_ids(self, text: str, source: str) -> list[int]:
        """The ids of a target, without its end. What neither its vocabulary nor its source has is unknown."""
        return _numbered(self.target, text, self.symbols(source))

    def symbols(self, source: str) -> dict[str, int]:
        """What can only be copied of a source, which the target's own vocabulary does not have, with its ids."""
        plain, first = self.source.plain, self.target.size + len(self._source_only)
        there = plain.tokens(plain.encode(self._text(source)))
        entries = {token: self._source_only[token] for token in there if token in self._source_only}
        return entries | {symbol: first + i for i, symbol in enumerate(self.unknown(source))}

    def unknown(self, text: str) -> list[str]:
        """What the source vocabulary does not know of a source's text."""
        plain, words = self.source.plain, self._text(text)
        if plain.unknown not in plain.encode(words):
            return []
        return list(dict.fromkeys(_symbols(plain, words)))

    def _text(self, source: str) -> str:
        return parted(source)[0] if isinstance(self.source, FeaturedTokenizer) else source

    def of(self, text: str) -> tuple[Tokenizer, Tokenizer]:
        """The vocabularies of this source and of its target, which have all their symbols."""
        unknown = self.unknown(text)
        return Longer(self.source, unknown), Longer(self.target, [*self._source_only, *unknown])


class Longer(Tokenizer):
    """A vocabulary with more entries, which no text becomes but ids may be."""

    def __init__(self, vocabulary: Tokenizer, symbols: Sequence[str]) -> None:
        super().__init__(
            kind=vocabulary.kind, jamo=vocabulary.jamo, mask=vocabulary.mask is not None, core=vocabulary.core
        )
        self.vocabulary, self.symbols, self._first = vocabulary, list(symbols), vocabulary.size

    @property
    def size(self) -> int:
        """The number of entries, the reserved ones included."""
        return self._first + len(self.symbols)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """See `Tokenizer`."""
        return [
            self.symbols[i - self._first] if self._first <= i < self.size else self.vocabulary.tokens([i])[0]
            for i in ids
        ]

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """See `Tokenizer`; a feature is a word of its own."""
        features = range(self.vocabulary.plain.size, self._first)
        return super().word_starts([EOS if i in features else i for i in ids])

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer`."""
        tokens = self.tokens([i for i in ids if i not in self.special_ids])
        text = (" " if self.kind == "whitespace" else "").join(tokens)
        return hangul.recompose(text) if self.jamo else text


def ids_of_the_same(source: AnyTokenizer, target: AnyTokenizer) -> list[int]:
    """Of each entry of one vocabulary, the id of the same text in another; -1 of no text, and where there is none."""
    known = {token: i for i, token in enumerate(target.tokens(range(target.size))) if i not in target.special_ids}
    features = len(source.features) if isinstance(source, FeaturedTokenizer) else 0
    entries = source.tokens(range(source.size - features))
    same = [-1 if i in source.special_ids else known.get(token, -1) for i, token in enumerate(entries)]
    return [*same, *[-1] * features]


def _numbered(tokenizer: Tokenizer, text: str, numbers: dict[str, int]) -> list[int]:
    """The ids of the text, and of what is unknown to the vocabulary its number, if it has one."""
    ids = tokenizer.encode(text)
    if tokenizer.unknown not in ids:
        return ids
    symbols = _symbols(tokenizer, text)
    if len(symbols) != ids.count(tokenizer.unknown):  # several jamo of one syllable
        return ids
    rest = iter(symbols)
    return [numbers.get(next(rest), i) if i == tokenizer.unknown else i for i in ids]


def _symbols(tokenizer: Tokenizer, text: str) -> list[str]:
    """What stands in the text for each unknown token."""
    return [text[start:stop] for start, stop in tokenizer.unknown_spans(text)]
