"""What every tokenizer can do: those that are trained here, and those that come with a pretrained model."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class AnyTokenizer(Protocol):
    """Turns text into token ids and back.

    begin, end, pad, unknown, mask: the ids of these special tokens, None for those that the vocabulary does not have.
    plain: of texts alone, without features of sources. size: the number of entries, the special ones included.
    special_ids: the ids that stand for no text.
    """

    @property
    def begin(self) -> int | None: ...
    @property
    def end(self) -> int | None: ...
    @property
    def pad(self) -> int | None: ...
    @property
    def unknown(self) -> int | None: ...
    @property
    def mask(self) -> int | None: ...
    @property
    def plain(self) -> "AnyTokenizer": ...
    @property
    def size(self) -> int: ...
    @property
    def special_ids(self) -> Collection[int]: ...

    def encode(self, text: str) -> list[int]:
        """The token ids of the text, without `begin` and `end`; AttentioError for a reserved symbol in it."""
        ...

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` for many texts at once, which is much faster."""
        ...

    def encode_with_holes(self, text: str) -> list[int]:
        """The token ids of a text in which `[MASK]` stands for a missing token; AttentioError without a `mask`."""
        ...

    def unknown_spans(self, text: str) -> list[tuple[int, int]]:
        """First and after the last character of everything that becomes `unknown`; AttentioError as `encode`."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the token ids; special ids are left out."""
        ...

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Every id as its own readable piece; ValueError for an id outside the vocabulary."""
        ...

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Where a word begins, for each token; the first token always begins one."""
        ...

    def settled(self, text: str) -> str:
        """The decoded text without an end that the tokens to come may still change."""
        ...

    def extended(self, texts: Iterable[str]) -> "AnyTokenizer":
        """One with further entries, for what this one does not know; AttentioError where it takes none."""
        ...

    def to_json(self) -> str:
        """What its file in a run directory holds."""
        ...
