"""A vocabulary of texts and of features of sources."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attentio.errors import AttentioError
from attentio.text.features import listed, parted
from attentio.text.tokenizer import EOS, UNK, Tokenizer


class FeaturedTokenizer(Tokenizer):
    """A tokenizer of texts with a vocabulary of features behind its own entries.

    plain: of the texts alone. features: in the order of their ids. A feature that is not among them becomes UNK.
    """

    def __init__(self, plain: Tokenizer, features: Sequence[str]) -> None:
        super().__init__(kind=plain.kind, jamo=plain.jamo, mask=plain.mask is not None, core=plain.core)
        self._plain, self.features = plain, tuple(features)
        self._ids = {feature: plain.size + number for number, feature in enumerate(self.features)}

    @classmethod
    def of_pairs(
        cls, plain: Tokenizer, pairs: Iterable[Sequence[str]], known: Sequence[str] = ()
    ) -> "FeaturedTokenizer":
        """With the features of the pairs' sources, after those that are known already."""
        found = {feature for source, _ in pairs for feature in listed(parted(source)[1])}
        return cls(plain, [*known, *sorted(found - {*known})])

    @property
    def plain(self) -> Tokenizer:
        """See `Tokenizer`."""
        return self._plain

    @property
    def size(self) -> int:
        """The number of entries, the features included."""
        return self.plain.size + len(self.features)

    def is_feature(self, *ids: int) -> bool:
        """Whether an id, or any of several, is that of a feature."""
        return any(self.plain.size <= i < self.size for i in ids)

    def feature_id(self, feature: str) -> list[int]:
        """The token id of one feature."""
        return [self._ids.get(feature.strip(), UNK)]

    def feature_ids(self, source: str) -> list[int]:
        """The token ids of the features of a source."""
        return [i for feature in listed(parted(source)[1]) for i in self.feature_id(feature)]

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """See `Tokenizer`."""
        sources = [*texts]
        encoded = self.plain.encode_all(parted(source)[0] for source in sources)
        return [[*ids, *self.feature_ids(source)] for ids, source in zip(encoded, sources, strict=True)]

    def unknown_spans(self, text: str) -> list[tuple[int, int]]:
        """See `Tokenizer`."""
        words, features = parted(text)
        spans, start = self.plain.unknown_spans(words), len(words) + 1
        for feature in listed(features):
            start = text.index(feature, start)
            if feature not in self._ids:
                spans.append((start, start + len(feature)))
            start += len(feature)
        return spans

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """See `Tokenizer`; a feature is a word of its own."""
        return self.plain.word_starts([i if i < self.plain.size else EOS for i in ids])

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer`; features are left out."""
        return self.plain.decode([i for i in ids if i < self.plain.size])

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """See `Tokenizer`; a feature is shown as it is written."""
        size = self.plain.size
        if strange := [i for i in ids if not 0 <= i < self.size]:
            raise ValueError(f"ids must be from 0 to {self.size - 1}, the vocabulary's last, got {strange[0]}")
        return [self.plain.tokens([i])[0] if i < size else self.features[i - size] for i in ids]

    def described(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return {**self.plain.described(), "features": [*self.features]}

    @classmethod
    def of(cls, content: dict[str, Any], path: Path) -> Tokenizer:
        """The tokenizer that a JSON object describes, with features or without; raises as `Tokenizer.load`."""
        if "features" not in content:
            return Tokenizer.of(content, path)
        features = content["features"]
        plain = Tokenizer.of({key: value for key, value in content.items() if key != "features"}, path)
        if not isinstance(features, list) or not all(isinstance(one, str) for one in features):
            raise AttentioError(f"{path}: features must be a list of texts; give the file that training wrote")
        return cls(plain, features)
